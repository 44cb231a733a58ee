"""Estimate the time and the disk space that a study needs, for `scoresweep plan`."""
