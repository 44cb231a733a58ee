"""Zarr stores of datasets: labelled, sharded arrays, and a manifest written last.

`scoresweep.pipeline.data.store_manifest` describes how an incomplete store is detected.
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
from zarr.errors import ZarrUserWarning

from scoresweep.pipeline.data.split import Array, Split
from scoresweep.pipeline.data.store_manifest import (
    REPAIR_HINT,
    check_store,
    describe_files,
    manifest_path,
)
from scoresweep.pipeline.data.zarr_shards import compressors_for, read_shard, write_shard
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import atomic_write, write_json
from scoresweep.pipeline.system.file_cache import load_once

__all__ = [
    "DIMENSIONS",
    "consolidate_metadata",
    "open_array",
    "parse_pixel_range",
    "read_shards",
    "read_split",
    "read_zarr_array",
    "shard_ranges",
    "to_split",
    "verify_array",
    "write_array",
    "write_store",
]


CHUNK = 128
"""Samples per chunk (about one batch), within `CHUNK_BYTES`."""
CHUNK_BYTES = (64 * 1024, 16 * 1024**2)
"""Smaller chunks waste time, larger ones take more memory than readers expect."""
SHARD = 4096
"""Samples per shard (one file), within `SHARD_BYTES`."""
SHARD_BYTES = 256 * 1024**2
THREADS = 4
"""Shards that are read or written at a time."""
DIMENSIONS = {"image": ("sample", "y", "x", "channel"), "point": ("sample", "feature")}
"""Dimension names of samples."""


def write_array(
    group: zarr.Group,
    name: str,
    values: Array,
    dimensions: tuple[str, ...],
    attributes: dict[str, Any] | None = None,
    advance: Callable[[int], None] | None = None,
) -> str:
    """Write `values` to `group`, sharded along the first axis; return the SHA-256 of its bytes.

    `advance` is called with the number of samples written since the last call.
    """
    chunk, rows = _chunk_and_shard(len(values), max(values[:1].nbytes, 1))
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(chunk, *values.shape[1:]),
        shards=(rows, *values.shape[1:]),
        compressors=compressors_for(values[:chunk]),
        dimension_names=dimensions,
        attributes=attributes,
    )

    def write(shard: tuple[int, int]) -> int:
        write_shard(array, shard[0], values[slice(*shard)])
        return shard[1] - shard[0]

    threads = ThreadPoolExecutor(THREADS)
    try:
        digest = threads.submit(_sha256, values, rows)
        for count in threads.map(write, shard_ranges(array)):
            if advance:
                advance(count)
        return digest.result()
    finally:
        threads.shutdown(cancel_futures=True)  # after an error, write no further shards


def _sha256(values: Array, rows: int) -> str:
    """Return the SHA-256 of the bytes of `values`, hashing `rows` samples at a time."""
    digest = hashlib.sha256()
    for start in range(0, len(values), rows):
        digest.update(np.ascontiguousarray(values[start : start + rows]).data)
    return digest.hexdigest()


def _chunk_and_shard(count: int, sample_bytes: int) -> tuple[int, int]:
    """Return the samples per chunk and per shard, which is a multiple of the first."""
    small, large = (max(size // sample_bytes, 1) for size in CHUNK_BYTES)
    chunk = max(1, min(count, SHARD, large, max(CHUNK, small)))
    max_shard = min(SHARD, SHARD_BYTES // sample_bytes, -(-count // chunk) * chunk)
    return chunk, max(chunk, max_shard // chunk * chunk)


def consolidate_metadata(store: Path) -> None:
    """Copy the metadata of all groups and arrays to the root, for `xarray.open_zarr`.

    Zarr warns that version 3 of its specification does not include this; readers that do not
    support it use the metadata of each array.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        zarr.consolidate_metadata(store)


def write_store(
    store: Path,
    splits: dict[str, Split],
    attributes: dict[str, Any],
    advance: Callable[[int], None] | None = None,
    provenance: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a store, then its manifest, both atomically.

    `provenance` holds further entries of the manifest. Raises `RunError` if the disk is full; an
    existing store is then kept.
    """
    described: dict[str, Any] = {}
    path = manifest_path(store)
    with atomic_write(store) as temporary:
        root = zarr.create_group(temporary, attributes=attributes)
        for name, split in splits.items():
            described[name] = _write_split(root.create_group(name), split, advance)
        consolidate_metadata(temporary)
        files = describe_files(temporary)
        path.unlink(missing_ok=True)
    content = {"store": store.name, "attributes": attributes, "splits": described}
    write_json(path, content | files | dict(provenance))


def _write_split(
    group: zarr.Group, split: Split, advance: Callable[[int], None] | None
) -> dict[str, Any]:
    """Write one split; return the description of its arrays for the manifest."""
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

    Raises `InputError` if the store is missing or damaged.
    """
    described = check_store(store)["splits"]
    if split not in described:
        raise InputError(
            f"{store}: has no split {split!r}, only {', '.join(described)}. {REPAIR_HINT}"
        )
    files = (manifest_path(store),)
    return load_once(f"split {split}", files, lambda: _read_split(store, split, described[split]))


def _read_split(store: Path, split: str, described: Mapping[str, Any]) -> Split:
    group = zarr.open_group(store, path=split, mode="r")
    arrays = {name: read_zarr_array(group, name, store) for name in described}
    for name, values in arrays.items():
        verify_array(store, f"{split}/{name}", values, described[name]["sha256"])
    return to_split(group, arrays)


def verify_array(store: Path, name: str, values: Array, expected: str) -> None:
    """Raise `InputError` if the SHA-256 of an array's values is wrong."""
    found = hashlib.sha256(values.data).hexdigest()
    if found != expected:
        raise InputError(
            f"{store}: {name} is damaged: SHA-256 {found}, expected {expected}. {REPAIR_HINT}"
        )


def open_array(group: zarr.Group, name: str, store: Path) -> zarr.Array[Any]:
    """Return an array of a group; raise `InputError` if it does not exist."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise InputError(f"{store}: has no array {name}. {REPAIR_HINT}")
    return array


def shard_ranges(array: zarr.Array[Any]) -> list[tuple[int, int]]:
    """Return the first sample and the end of each shard."""
    count, rows = array.shape[0], (array.shards or array.chunks)[0]
    return [(start, min(start + rows, count)) for start in range(0, count, rows)]


def read_shards(
    array: zarr.Array[Any], shards: list[tuple[int, int]], out: Array, store: Path
) -> None:
    """Read the samples of some shards into `out` (N, ...), in the given order.

    Raises `InputError` if one of them is missing or damaged.
    """
    ends = list(itertools.accumulate(stop - start for start, stop in shards))
    starts = [0, *ends[:-1]]

    def read(shard: tuple[int, int], start: int, end: int) -> None:
        read_shard(array, shard[0], out[start:end])

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(read, shards, starts, ends))
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise InputError(f"{store}: {array.path} is damaged ({error}). {REPAIR_HINT}") from error


def read_zarr_array(group: zarr.Group, name: str, store: Path, count: int | None = None) -> Array:
    """Read an array, or its first `count` samples; raise `InputError` if missing or damaged."""
    array = open_array(group, name, store)
    size = array.shape[0] if count is None else min(count, array.shape[0])
    values = np.empty((size, *array.shape[1:]), array.dtype)
    shards = [(start, min(stop, size)) for start, stop in shard_ranges(array) if start < size]
    read_shards(array, shards, values, store)
    return values


def parse_pixel_range(attributes: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the values of black and white; None if the samples are not images."""
    if "pixel_range" not in attributes:
        return None
    low, high = attributes["pixel_range"]
    return float(low), float(high)


def to_split(group: zarr.Group, arrays: Mapping[str, Array]) -> Split:
    """Return a `Split` from the arrays and attributes of a group."""
    name = "image" if "image" in arrays else "point"
    pixel_range = parse_pixel_range(group[name].attrs.asdict())
    labels = arrays.get("label")
    named: dict[str, Any] = {} if labels is None else group["label"].attrs.asdict()
    return Split(arrays[name], labels, pixel_range, named.get("class_names"))
