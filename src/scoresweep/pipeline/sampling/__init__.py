"""Drawing samples: a setting applied to a run, chunk by chunk."""
