"""Read and write the shards of a Zarr array directly, without zarr's event loop.

The format is that of the codec `sharding_indexed` of Zarr v3: compressed chunks, then their offsets
and sizes as little-endian 64-bit numbers, then a CRC-32C of these. The files are interchangeable
with those of zarr, whose own pipeline passes every chunk to a thread and copies it: on two cores it
takes 2 to 4 times as long to read and twice as long to write. (The package `zarrs` is as fast as
this module, but reads a missing shard as zeros and hides the error number of a full disk.)

Chunks are compressed by LZ4, which decompresses in less time than zstd, and have a CRC-32C. Those
that LZ4 makes hardly smaller are left to zstd, whose own checksum takes less time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Blosc, Zstd
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

__all__ = ["compressors_for", "read_shard", "write_shard"]

Array = npt.NDArray[Any]

ZSTD_LEVEL, LZ4_LEVEL = -5, 9
"""Zstd takes a fifth less time than at level 1, for a seventh more space (28×28 grey images)."""
ZSTD = Zstd(level=ZSTD_LEVEL, checksum=True)
LZ4 = Blosc("lz4", clevel=LZ4_LEVEL, shuffle=Blosc.NOSHUFFLE)
MAX_LZ4_SHARE = 0.9
"""Share of a chunk's bytes above which LZ4 is not used."""
NUMBER = np.dtype("<u8")
CHECKSUM_BYTES = 4
NO_CHUNK = np.iinfo(NUMBER).max
"""Offset and size of a chunk that is not stored."""


def compressors_for(first_chunk: Array) -> list[BytesBytesCodec]:
    """Return the compressors of a new array of chunks like `first_chunk`."""
    packed = LZ4.encode(np.ascontiguousarray(first_chunk))
    if len(packed) > MAX_LZ4_SHARE * first_chunk.nbytes:
        return [ZstdCodec(level=ZSTD_LEVEL, checksum=True)]
    return [BloscCodec(cname="lz4", clevel=LZ4_LEVEL, shuffle="noshuffle"), Crc32cCodec()]


def write_shard(array: zarr.Array[Any], start: int, values: Array) -> None:
    """Write samples (N, ...) as the shard that begins with the sample `start`."""
    chunk, chunks, path = _locate(array, start)
    lz4 = _is_lz4(array)
    index = np.full((chunks, 2), NO_CHUNK, NUMBER)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number, first in enumerate(range(0, len(values), chunk)):
            part = np.ascontiguousarray(values[first : first + chunk])
            if len(part) < chunk:  # chunks are padded at the end of the array
                part, rest = np.zeros((chunk, *part.shape[1:]), part.dtype), part
                part[: len(rest)] = rest
            packed = _with_checksum(LZ4.encode(part)) if lz4 else ZSTD.encode(part)
            index[number] = file.tell(), len(packed)
            file.write(packed)
        file.write(_with_checksum(index.tobytes()))


def read_shard(array: zarr.Array[Any], start: int, out: Array) -> None:
    """Read the shard that begins with the sample `start` into `out` (N, ...).

    Raises `OSError`, `ValueError` or `RuntimeError` if the file is missing or damaged.
    """
    chunk, chunks, path = _locate(array, start)
    codec, read = (LZ4, _read_checked) if _is_lz4(array) else (ZSTD, os.pread)
    with path.open("rb", buffering=0) as file:
        index = _read_index(file.fileno(), chunks)
        for number, first in enumerate(range(0, len(out), chunk)):
            offset, size = index[number]
            if offset == NO_CHUNK:
                raise ValueError(f"chunk {number} of a shard was not written")
            packed = read(file.fileno(), size, offset)
            part = out[first : first + chunk]
            if len(part) == chunk:
                codec.decode(packed, part)
            else:
                values = np.frombuffer(codec.decode(packed), out.dtype)
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


def _is_lz4(array: zarr.Array[Any]) -> bool:
    """Return whether chunks are compressed by LZ4 and have a CRC-32C; else by zstd."""
    return any(isinstance(codec, BloscCodec) for codec in array.compressors)


def _read_index(descriptor: int, chunks: int) -> list[list[int]]:
    """Return offset and size of each chunk in an open shard."""
    size = chunks * 2 * NUMBER.itemsize + CHECKSUM_BYTES
    offset = max(os.fstat(descriptor).st_size - size, 0)
    content = _read_checked(descriptor, size, offset)
    index: list[list[int]] = np.frombuffer(content, NUMBER).reshape(chunks, 2).tolist()
    return index


def _read_checked(descriptor: int, size: int, offset: int) -> bytes:
    """Return `size` bytes of a file without the CRC-32C at their end, which must be right."""
    content = os.pread(descriptor, size - CHECKSUM_BYTES, offset)
    checksum = os.pread(descriptor, CHECKSUM_BYTES, offset + size - CHECKSUM_BYTES)
    if _checksum(content) != checksum:
        raise ValueError("the checksum of a chunk or of a shard's index is wrong")
    return content


def _with_checksum(content: bytes) -> bytes:
    return content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    value: int = google_crc32c.value(content)
    return value.to_bytes(CHECKSUM_BYTES, "little")
