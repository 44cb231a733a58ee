"""Read samples and labels from array files of users: NumPy, HDF5, netCDF and Zarr.

`*_file` and `zarr_store` open a format and list its arrays as `FileVariable`s; the other modules
find samples and labels among them and convert their axes, values and classes.
"""
