"""Numbers to start a study with: a noise ladder, a network, step sizes and metrics."""
