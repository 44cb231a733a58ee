"""Feature extractors: one class in one file."""
