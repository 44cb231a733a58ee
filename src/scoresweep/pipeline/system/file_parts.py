"""The parts of a file that identify its kind."""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scoresweep.pipeline.system.pickle_globals import pickled_globals

__all__ = ["FileParts"]

HEAD_BYTES = 4096
"""Bytes at the start of a file that are examined."""


@dataclass
class FileParts:
    """The parts of a file that identify its kind."""

    path: Path
    size: int = field(init=False)
    head: bytes = field(init=False)
    tail: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.path.stat().st_size
        with self.path.open("rb") as file:
            self.head = file.read(HEAD_BYTES)
            file.seek(max(self.size - 8, 0))
            self.tail = file.read()

    @cached_property
    def text(self) -> str:
        """The start of the file as text; "" if it is not text."""
        try:
            text = self.head.decode("utf-8", "strict" if self.size <= HEAD_BYTES else "ignore")
        except UnicodeDecodeError:
            return ""
        start = text.lstrip("\ufeff \t\r\n")
        return start if all(c.isprintable() or c in "\t\r\n\f" for c in start) else ""

    @cached_property
    def members(self) -> list[str] | None:
        """Names in a zip archive; None if it is truncated."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error):
            return None

    def starts_with(self, *prefixes: bytes) -> bool:
        """Return whether the file starts with one of `prefixes`."""
        return self.head.startswith(prefixes)

    def text_matches(self, pattern: str) -> bool:
        """Return whether the text starts with `pattern`."""
        return re.match(pattern, self.text, re.IGNORECASE) is not None

    def has_member(self, pattern: str) -> bool:
        """Return whether a name in the archive contains `pattern`."""
        return any(re.search(pattern, name) for name in self.members or ())

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip archive."""
        return self.starts_with(b"PK\x03\x04", b"PK\x05\x06")

    @property
    def is_pickle(self) -> bool:
        """Whether it is a pickle."""
        return self.starts_with(b"\x80") and self.head[1:2] <= b"\x05"

    @cached_property
    def header_end(self) -> int:
        """Offset of the end of a safetensors header; 0 for other files."""
        length = int.from_bytes(self.head[:8], "little")
        return length + 8 if self.head[8:9] == b"{" and length < 1 << 30 else 0

    @cached_property
    def objects(self) -> list[str]:
        """Names of the Python objects in a pickle."""
        with self.path.open("rb") as file:
            return pickled_globals(file)

    def imports(self, pattern: str) -> bool:
        """Return whether a pickle imports an object whose name starts with `pattern`."""
        return any(re.match(pattern, name) for name in self.objects)
