"""Encode image files that Pillow can read but not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def png16(values: np.ndarray) -> bytes:
    """Return a 16-bit PNG of `values` (H, W) or (H, W, C), rows filtered by Sub."""
    height, width = values.shape[:2]
    channels = values.reshape(height, width, -1).shape[2]
    step = 2 * channels
    lines = np.ascontiguousarray(values, ">u2").view(np.uint8).reshape(height, width * step)
    filtered = lines.copy()
    filtered[:, step:] -= lines[:, :-step]
    rows = b"".join(b"\x01" + line.tobytes() for line in filtered)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def tiff(values: np.ndarray, order: str = "<", photometric: int | None = None) -> bytes:
    """Return an uncompressed TIFF of `values` (H, W) or (H, W, C), of the same bit depth."""
    height, width = values.shape[:2]
    channels = values.reshape(height, width, -1).shape[2]
    data = np.ascontiguousarray(values, values.dtype.newbyteorder(order)).tobytes()
    bits = struct.pack(f"{order}{channels}H", *[8 * values.dtype.itemsize] * channels)
    meaning = (2 if channels > 1 else 1) if photometric is None else photometric
    after = 8 + 2 + 12 * 9 + 4
    inline = channels <= 2
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (259, 4, 1, 1), (262, 4, 1, meaning),
        (258, 3, channels, None if inline else after),
        (273, 4, 1, after + len(bits)), (277, 4, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    packed = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + (bits.ljust(4, b"\0") if value is None else struct.pack(f"{order}I", value))
        for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0])
    )
    head = b"II*\0" if order == "<" else b"MM\0*"
    head += struct.pack(f"{order}IH", 8, len(entries))
    return head + packed + bytes(4) + bits + data
