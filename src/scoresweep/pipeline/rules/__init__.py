"""The steps of a study: one file per rule of the workflow."""
