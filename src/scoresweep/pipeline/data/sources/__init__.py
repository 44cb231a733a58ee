"""Datasets by name: one `read_*` function per stored dataset, one `draw_*` per synthetic one.

Each returns a `LoadedDataset`. Published data is fetched with checksums; user data is read with
`array_files` and `image_files`; synthetic data is a function of its seed.
"""
