"""The files of a folder or of a zip archive, by their names below it."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import IO

from scoresweep.pipeline.data.file_hashes import files_below, is_ignored
from scoresweep.pipeline.errors import InputError

__all__ = ["File", "Tree", "read_tree"]

LARGEST_MEMBER = 1024**3
"""Most bytes that a file of an archive may have when it is unpacked."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError)
"""What `zipfile` raises for an archive or a member that is damaged or packed in an unknown way."""


@dataclass(frozen=True)
class File:
    """A file of a tree."""

    parts: tuple[str, ...]
    """The folders that it lies in, and its name."""
    where: str
    """The file as error messages call it."""
    content: Callable[[], Path | IO[bytes]]
    """Returns a path to the file, or its content."""

    @property
    def suffix(self) -> str:
        """Ending of the name in lower case, with the dot; "" if it has none."""
        return Path(self.parts[-1]).suffix.lower()


@dataclass(frozen=True)
class Tree:
    """The files of a folder or an archive that are not hidden, sorted by their parts."""

    path: Path
    files: list[File]
    folders: set[str]
    """Folders at the top, empty ones included."""


def read_tree(path: Path) -> Tree:
    """List a folder or a zip archive; nothing is unpacked.

    An archive that holds one folder, with folders or a `dataset.json` in it, is read as if that
    folder had been packed without itself.
    Raises `InputError` naming a folder, link or member that cannot be read.
    """
    if path.is_dir():
        files = [
            File(file.relative_to(path).parts, str(file), lambda file=file: file)  # type: ignore[misc]
            for file in files_below(path)
        ]
        tops = {entry.name for entry in path.iterdir() if entry.is_dir()}
        return Tree(path, files, {name for name in tops if not is_ignored(name)})
    return _without_wrapper(_read_archive(path))


def _read_archive(path: Path) -> Tree:
    """List the members of a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read as a zip archive ({error}).") from error
    lock, files, folders = Lock(), {}, set[str]()
    for member in archive.infolist():
        parts = tuple(part for part in re.split(r"[/\\]", member.filename) if part not in ("", "."))
        if not parts or any(is_ignored(part) for part in parts):
            continue
        if len(parts) > 1 or member.is_dir():
            folders.add(parts[0])
        if member.is_dir():
            continue
        where = f"{path}: {member.filename}"
        _check_member(member, where)
        if parts in files:
            raise InputError(f"{where}: is in the archive twice.")
        files[parts] = File(parts, where, _Member(archive, member, where, lock))
    return Tree(path, [files[parts] for parts in sorted(files)], folders)


def _check_member(member: zipfile.ZipInfo, where: str) -> None:
    """Raise `InputError` if a member is not a plain file of a size that can be held in memory."""
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{where}: is a link; pack the file itself.")
    if member.flag_bits & 0x1:
        raise InputError(f"{where}: is encrypted; pack the files without a password.")
    if member.file_size > LARGEST_MEMBER:
        raise InputError(
            f"{where}: has {member.file_size:,} bytes when unpacked; at most "
            f"{LARGEST_MEMBER:,} are read of one file."
        )


@dataclass(frozen=True)
class _Member:
    """Reads one member of an archive, which several threads share."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    where: str
    lock: Lock

    def __call__(self) -> IO[bytes]:
        try:
            # `read` checks the CRC and stops after the size that `_check_member` has seen.
            with self.lock:
                return io.BytesIO(self.archive.read(self.member))
        except DAMAGED as error:
            raise InputError(f"{self.where}: is damaged ({error}).") from error


def _without_wrapper(tree: Tree) -> Tree:
    """Take away the one folder that holds everything, if it is more than a class."""
    if len(tree.folders) != 1 or any(len(file.parts) < 2 for file in tree.files):
        return tree
    inner = {file.parts[1] for file in tree.files if len(file.parts) > 2}
    if not inner and not any(file.parts[1:] == ("dataset.json",) for file in tree.files):
        return tree
    files = [replace(file, parts=file.parts[1:]) for file in tree.files]
    return Tree(tree.path, files, inner)
