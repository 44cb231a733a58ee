"""Reading arrays and labels from the files of users: NumPy, HDF5, NetCDF, Zarr."""
