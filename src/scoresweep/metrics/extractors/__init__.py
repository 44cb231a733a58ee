"""Feature extractors, one in each file."""
