"""Commands that look at a study: one file per command."""
