"""Readers of datasets: one file per family, one `read_*` function per dataset."""
