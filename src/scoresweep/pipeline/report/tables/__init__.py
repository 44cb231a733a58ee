"""The results of a study as labelled arrays and tables."""
