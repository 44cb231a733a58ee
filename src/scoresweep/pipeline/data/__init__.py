"""Datasets: where they come from, how they are kept, how they are fed to training."""
