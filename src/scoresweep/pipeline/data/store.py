"""The store of a dataset: sharded Zarr with labelled dimensions, and a manifest written last.

A missing shard reads as zeros: `scoresweep.pipeline.data.manifest` says how that is noticed.
"""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.errors import ZarrUserWarning

from scoresweep.pipeline.data.manifest import AGAIN, check_store, describe_files, manifest_path
from scoresweep.pipeline.data.split import Array, Split
from scoresweep.pipeline.data.zarr_shards import LEVEL, read_shard, write_shard
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import atomic_write, write_json

__all__ = [
    "DIMENSIONS",
    "consolidate",
    "open_array",
    "pixel_range_of",
    "read_shards",
    "read_split",
    "shards_of",
    "write_array",
    "write_store",
]


CHUNK = 128
"""Samples of a chunk: about a batch, as long as that lies within `CHUNK_BYTES`."""
CHUNK_BYTES = (64 * 1024, 16 * 1024**2)
"""Below, a chunk costs more time than its bytes; above, more memory than a reader expects."""
SHARD = 4096
"""Samples of a shard (one file), as long as it stays below `SHARD_BYTES`."""
SHARD_BYTES = 256 * 1024**2
THREADS = 4
"""Shards that are read or written at a time."""
DIMENSIONS = {"image": ("sample", "y", "x", "channel"), "point": ("sample", "feature")}
"""Names of the dimensions of samples."""


def write_array(
    group: zarr.Group,
    name: str,
    values: Array,
    dimensions: tuple[str, ...],
    attributes: dict[str, Any] | None = None,
    advance: Callable[[int], None] | None = None,
) -> str:
    """Write `values` into `group`, cut along the first axis, and return the SHA-256 of its bytes.

    `advance` is called with the number of samples written since its last call.
    """
    chunk, rows = _cut(len(values), max(values[:1].nbytes, 1))
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(chunk, *values.shape[1:]),
        shards=(rows, *values.shape[1:]),
        compressors=[ZstdCodec(level=LEVEL, checksum=True)],
        dimension_names=dimensions,
        attributes=attributes,
    )

    def write(start: int) -> int:
        part = values[start : start + rows]
        write_shard(array, start, part)
        return len(part)

    starts = range(0, len(values), rows)
    threads = ThreadPoolExecutor(THREADS)
    try:
        digest = threads.submit(_sha256, values, rows)
        for count in threads.map(write, starts):
            if advance:
                advance(count)
        return digest.result()
    finally:
        # Nothing is written any more after one of them has failed.
        threads.shutdown(cancel_futures=True)


def _sha256(values: Array, rows: int) -> str:
    """Return the SHA-256 of the bytes of `values`, taken so many samples at a time."""
    digest = hashlib.sha256()
    for start in range(0, len(values), rows):
        digest.update(np.ascontiguousarray(values[start : start + rows]).data)
    return digest.hexdigest()


def _cut(count: int, row_bytes: int) -> tuple[int, int]:
    """Return the samples of a chunk and of a shard, which is a whole number of chunks."""
    small, large = (max(size // row_bytes, 1) for size in CHUNK_BYTES)
    chunk = max(1, min(count, SHARD, large, max(CHUNK, small)))
    most = min(SHARD, SHARD_BYTES // row_bytes, -(-count // chunk) * chunk)
    return chunk, max(chunk, most // chunk * chunk)


def consolidate(store: Path) -> None:
    """Copy the metadata of all groups and arrays into the root, where `xarray.open_zarr` looks.

    Zarr warns that version 3 of its specification does not have this yet; readers that do not know
    it read the metadata beside the arrays, which stays.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        zarr.consolidate_metadata(store)


def write_store(
    store: Path,
    splits: dict[str, Split],
    attributes: dict[str, Any],
    advance: Callable[[int], None] | None = None,
    origin: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a store and then its manifest, each under a temporary name first.

    `origin` are further entries of the manifest, which say nothing of the content. Raises
    `RunError` where the disk is full; what was there before stays.
    """
    described: dict[str, Any] = {}
    path = manifest_path(store)
    with atomic_write(store) as temporary:
        root = zarr.create_group(temporary, attributes=attributes)
        for name, split in splits.items():
            described[name] = _write_split(root.create_group(name), split, advance)
        consolidate(temporary)
        files = describe_files(temporary)
        path.unlink(missing_ok=True)
    about = {"store": store.name, "attributes": attributes, "splits": described} | files
    write_json(path, about | dict(origin))


def _write_split(
    group: zarr.Group, split: Split, advance: Callable[[int], None] | None
) -> dict[str, Any]:
    """Write one split and describe its arrays for the manifest."""
    name = "point" if split.pixel_range is None else "image"
    attributes = {} if split.pixel_range is None else {"pixel_range": list(split.pixel_range)}
    hashes = {
        name: write_array(group, name, split.values, DIMENSIONS[name], attributes, advance),
    }
    arrays = {name: split.values}
    if split.labels is not None:
        named = {} if split.class_names is None else {"class_names": split.class_names}
        arrays["label"] = split.labels.astype(np.int64)
        hashes["label"] = write_array(group, "label", arrays["label"], ("sample",), named)
    return {
        key: {"shape": list(a.shape), "dtype": str(a.dtype), "sha256": hashes[key]}
        for key, a in arrays.items()
    }


def read_split(store: Path, split: str) -> Split:
    """Read one split into memory.

    Raises `InputError` where the store is missing, cut short or damaged.
    """
    described = check_store(store)["splits"]
    if split not in described:
        raise InputError(f"{store}: has no split {split!r}; it has {', '.join(described)}.")
    group = zarr.open_group(store, path=split, mode="r")
    arrays = {name: read_array(group, name, store) for name in described[split]}
    for name, values in arrays.items():
        check_array(store, f"{split}/{name}", values, described[split][name]["sha256"])
    return as_split(group, arrays)


def check_array(store: Path, name: str, values: Array, expected: str) -> None:
    """Raise `InputError` where the content of an array is not what was written."""
    found = hashlib.sha256(values.data).hexdigest()
    if found != expected:
        raise InputError(
            f"{store}: {name} is damaged or was cut short: SHA-256 {found}, expected {expected}. "
            f"{AGAIN}"
        )


def open_array(group: zarr.Group, name: str, store: Path) -> zarr.Array[Any]:
    """Return an array of a group; raise `InputError` where there is none."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise InputError(f"{store}: has no array {name}. {AGAIN}")
    return array


def shards_of(array: zarr.Array[Any]) -> list[tuple[int, int]]:
    """Return where the samples of each shard begin and end."""
    count, rows = array.shape[0], (array.shards or array.chunks)[0]
    return [(start, min(start + rows, count)) for start in range(0, count, rows)]


def read_shards(
    array: zarr.Array[Any], shards: list[tuple[int, int]], out: Array, store: Path
) -> None:
    """Read the samples of some shards into `out` (N, ...), one shard after the other.

    Raises `InputError` where one of them is damaged.
    """
    ends = list(itertools.accumulate(stop - start for start, stop in shards))
    begins = [0, *ends[:-1]]

    def read(shard: tuple[int, int], begin: int, end: int) -> None:
        read_shard(array, shard[0], out[begin:end])

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(read, shards, begins, ends))
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise InputError(f"{store}: {array.path} is damaged ({error}). {AGAIN}") from error


def read_array(group: zarr.Group, name: str, store: Path) -> Array:
    array = open_array(group, name, store)
    values = np.empty(array.shape, array.dtype)
    read_shards(array, shards_of(array), values, store)
    return values


def pixel_range_of(attributes: dict[str, Any]) -> tuple[float, float] | None:
    """Return the stored values that mean black and white; None where samples are no images."""
    if "pixel_range" not in attributes:
        return None
    low, high = attributes["pixel_range"]
    return float(low), float(high)


def as_split(group: zarr.Group, arrays: dict[str, Array]) -> Split:
    """Put the arrays of a group and their attributes together."""
    name = "image" if "image" in arrays else "point"
    pixel_range = pixel_range_of(group[name].attrs.asdict())
    labels = arrays.get("label")
    named: dict[str, Any] = {} if labels is None else group["label"].attrs.asdict()
    return Split(arrays[name], labels, pixel_range, named.get("class_names"))
