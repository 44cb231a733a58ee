"""Means, intervals and comparisons over repeats."""
