"""Load datasets, store them, and feed them to training.

- `sources/`: one function per dataset, which returns a `LoadedDataset`; `array_files/` and
  `image_files/` read the formats of user data for them
- `dataset_store`, `store_manifest`, `zarr_shards`: the staged Zarr store
- `memory_loader`, `shard_loader`: batches for training
- `fetch`, `download`: published files and the cache; `user_files`, `file_changes`: user data
"""
