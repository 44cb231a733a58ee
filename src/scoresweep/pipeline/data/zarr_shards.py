"""Read and write the shards of a Zarr array directly, without zarr's event loop.

The format is that of the codec `sharding_indexed` of Zarr v3: compressed chunks, then their offsets
and sizes as little-endian 64-bit numbers, then a CRC-32C of these. The files are interchangeable
with those of zarr, whose own pipeline passes every chunk to a thread and copies it: on two cores it
takes 2 to 4 times as long to read and twice as long to write. (The package `zarrs` is as fast as
this module, but reads a missing shard as zeros and hides the error number of a full disk.)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Zstd
from zarr.storage import LocalStore

__all__ = ["COMPRESSION_LEVEL", "read_shard", "write_shard"]

Array = npt.NDArray[Any]

COMPRESSION_LEVEL = -5
"""Zstd level: a fifth less time than level 1, a seventh more space (28×28 grey images)."""
CODEC = Zstd(level=COMPRESSION_LEVEL, checksum=True)
NUMBER = np.dtype("<u8")
CHECKSUM_BYTES = 4
NO_CHUNK = np.iinfo(NUMBER).max
"""Offset and size of a chunk that is not stored."""


def write_shard(array: zarr.Array[Any], start: int, values: Array) -> None:
    """Write samples (N, ...) as the shard that begins with the sample `start`."""
    chunk, chunks, path = _locate(array, start)
    index = np.full((chunks, 2), NO_CHUNK, NUMBER)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number, first in enumerate(range(0, len(values), chunk)):
            part = np.ascontiguousarray(values[first : first + chunk])
            if len(part) < chunk:  # chunks are padded at the end of the array
                part, rest = np.zeros((chunk, *part.shape[1:]), part.dtype), part
                part[: len(rest)] = rest
            packed = CODEC.encode(part)
            index[number] = file.tell(), len(packed)
            file.write(packed)
        content = index.tobytes()
        file.write(content + _checksum(content))


def read_shard(array: zarr.Array[Any], start: int, out: Array) -> None:
    """Read the shard that begins with the sample `start` into `out` (N, ...).

    Raises `OSError`, `ValueError` or `RuntimeError` if the file is missing or damaged.
    """
    chunk, chunks, path = _locate(array, start)
    with path.open("rb", buffering=0) as file:
        index = _read_index(file.fileno(), chunks)
        for number, first in enumerate(range(0, len(out), chunk)):
            offset, size = index[number]
            if offset == NO_CHUNK:
                raise ValueError(f"chunk {number} of a shard was not written")
            packed = os.pread(file.fileno(), size, offset)
            part = out[first : first + chunk]
            if len(part) == chunk:
                CODEC.decode(packed, part)
            else:
                values = np.frombuffer(CODEC.decode(packed), out.dtype)
                part[:] = values[: part.size].reshape(part.shape)


def _locate(array: zarr.Array[Any], start: int) -> tuple[int, int, Path]:
    """Return the samples per chunk, the chunks per shard, and the shard's file."""
    chunk, rows = array.chunks[0], (array.shards or array.chunks)[0]
    key = array.metadata.encode_chunk_key((start // rows, *[0] * (array.ndim - 1)))
    return chunk, rows // chunk, _folder(array) / key


def _folder(array: zarr.Array[Any]) -> Path:
    """Return the folder of an array."""
    store = array.store
    if not isinstance(store, LocalStore):
        raise TypeError(f"{store}: expected a store in a local folder")
    return store.root / array.path


def _read_index(descriptor: int, chunks: int) -> list[list[int]]:
    """Return offset and size of each chunk in an open shard."""
    size = chunks * 2 * NUMBER.itemsize
    end = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size + CHECKSUM_BYTES, max(end - size - CHECKSUM_BYTES, 0))
    if _checksum(content[:size]) != content[size:]:
        raise ValueError("the checksum of a shard's index is wrong")
    index: list[list[int]] = np.frombuffer(content[:size], NUMBER).reshape(chunks, 2).tolist()
    return index


def _checksum(content: bytes) -> bytes:
    value: int = google_crc32c.value(content)
    return value.to_bytes(CHECKSUM_BYTES, "little")
