"""Metrics of samples and of networks, and the features that they need."""
