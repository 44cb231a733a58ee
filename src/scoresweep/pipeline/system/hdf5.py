"""Quick checks of HDF5 (NetCDF 4) files that do not open them with a library.

The superblock at the start of a file holds the address of its end (HDF5 File Format Specification,
section II.A), so a shorter file is truncated.
"""

from __future__ import annotations

import mmap
from pathlib import Path

__all__ = ["contains_text", "is_complete"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
END_ADDRESS_OFFSETS = {0: 40, 1: 44, 2: 28, 3: 28}
"""Version of the superblock (the byte after the signature) to the offset of the end address."""


def is_complete(path: Path) -> bool:
    """Return whether `path` is an HDF5 file that is not truncated."""
    with path.open("rb", buffering=0) as file:
        head = file.read(64)
        size = file.seek(0, 2)
    if not head.startswith(SIGNATURE) or len(head) < 64:
        return False
    offset = END_ADDRESS_OFFSETS.get(head[8])
    return offset is not None and size >= int.from_bytes(head[offset : offset + 8], "little")


def contains_text(path: Path, text: str) -> bool:
    """Return whether a file, which must not be empty, contains `text`, for example an attribute."""
    with (
        path.open("rb", buffering=0) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(text.encode()) >= 0
