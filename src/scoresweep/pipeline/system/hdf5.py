"""Look at an HDF5 (NetCDF 4) file without a library: is it whole, does it mention a text?

The superblock at its beginning holds the address at which the file ends (HDF5 File Format
Specification, section II.A): a file that is shorter was cut off.
"""

from __future__ import annotations

import mmap
from pathlib import Path

__all__ = ["contains_text", "is_complete"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
"""Version of the superblock (the byte after the signature) to the place of the 8-byte address."""


def is_complete(path: Path) -> bool:
    """Return whether `path` begins as an HDF5 file and is as long as it says."""
    with path.open("rb", buffering=0) as file:
        head = file.read(64)
        size = file.seek(0, 2)
    place = END_OF_FILE.get(head[8]) if head.startswith(SIGNATURE) and len(head) == 64 else None
    return place is not None and size >= int.from_bytes(head[place : place + 8], "little")


def contains_text(path: Path, text: str) -> bool:
    """Return whether `text` stands in `path`, which must not be empty, as attributes do."""
    with (
        path.open("rb", buffering=0) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(text.encode()) >= 0
