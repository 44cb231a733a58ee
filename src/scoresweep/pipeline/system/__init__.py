"""Files, locks, processes, devices, provenance and the console."""
