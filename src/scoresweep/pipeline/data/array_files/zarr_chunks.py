"""Check that a Zarr array is complete; zarr reads missing chunks as the fill value."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ShardingCodec, ShardingCodecIndexLocation

from scoresweep.pipeline.errors import InputError

__all__ = ["check_chunks"]

EMPTY = np.iinfo(np.uint64).max
"""Offset of a missing chunk in the index of a shard."""


def check_chunks(path: Path, name: str, array: zarr.Array[Any]) -> None:
    """Raise `InputError` if chunks, shards or chunks in shards are missing.

    `path` is the store, a folder or a zip archive; `name` is the array's name in messages.
    """
    parts = array.shards or array.chunks
    grid = [-(-size // part) for size, part in zip(array.shape, parts, strict=True)]
    keys = {array.metadata.encode_chunk_key(index): index for index in np.ndindex(*grid)}
    with _files(path, array.path) as files:
        missing, total = [key for key in keys if key not in files], math.prod(grid)
        sharding = _sharding(array)
        if sharding is not None and not missing:
            sizes = zip(array.shape, array.chunks, strict=True)
            total = math.prod(-(-size // part) for size, part in sizes)
            for key, index in keys.items():
                with files[key].open("rb") as file:
                    empty = _missing_chunks(array, sharding, index, file)
                missing += [f"{chunk} in the shard {key}" for chunk in empty]
    if missing:
        raise InputError(
            f"{path}: {len(missing):,} of {total:,} chunks of the array {name} are missing, the "
            f"first is {missing[0]}. They would be read as {array.fill_value}. Copy the store "
            f"again; if these values are intended, write them with write_empty_chunks=True."
        )


@contextmanager
def _files(path: Path, array: str) -> Iterator[dict[str, Path | zipfile.Path]]:
    """Yield the files of an array by key."""
    if path.is_dir():
        root = path / array
        yield {file.relative_to(root).as_posix(): file for file in root.rglob("*")}
        return
    with zipfile.ZipFile(path) as archive:
        prefix = f"{array}/".lstrip("/")
        names = [name for name in archive.namelist() if name.startswith(prefix)]
        yield {name.removeprefix(prefix): zipfile.Path(archive, name) for name in names}


def _sharding(array: zarr.Array[Any]) -> ShardingCodec | None:
    """Return the sharding codec; None if there is none, or if other codecs encode the shards."""
    codecs = getattr(array.metadata, "codecs", ())
    found = [codec for codec in codecs if isinstance(codec, ShardingCodec)]
    return found[0] if found and len(codecs) == 1 else None


def _missing_chunks(
    array: zarr.Array[Any], sharding: ShardingCodec, shard: tuple[int, ...], file: IO[bytes]
) -> list[tuple[int, ...]]:
    """Return the chunks of a shard that are inside the array but missing.

    The shard's index holds offset and size of each chunk, followed by a CRC-32C
    (https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed).
    """
    assert array.shards is not None
    counts = [size // part for size, part in zip(array.shards, array.chunks, strict=True)]
    size = 16 * math.prod(counts)
    checksum = any(isinstance(codec, Crc32cCodec) for codec in sharding.index_codecs)
    if sharding.index_location == ShardingCodecIndexLocation.end:
        file.seek(-size - (4 if checksum else 0), 2)
    offsets = np.frombuffer(file.read(size), "<u8").reshape(*counts, 2)[..., 0]
    inside = [
        -(-(total - index * rows) // part)
        for total, index, rows, part in zip(
            array.shape, shard, array.shards, array.chunks, strict=True
        )
    ]
    empty = np.argwhere(offsets[tuple(map(slice, inside))] == EMPTY)
    return [tuple(index) for index in empty.tolist()]
