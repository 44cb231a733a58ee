"""List the files of a folder or zip archive."""

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

from scoresweep.pipeline.data.user_files import is_ignored, list_files
from scoresweep.pipeline.errors import InputError

__all__ = ["File", "FileTree", "read_tree"]

LARGEST_MEMBER = 1024**3
"""Largest uncompressed size of one archive member, in bytes."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError)
"""Exceptions of `zipfile` for damaged archives and unsupported compression."""


@dataclass(frozen=True)
class File:
    """A file in a folder or archive."""

    parts: tuple[str, ...]
    """Path below the root: folders and file name."""
    where: str
    """Name of the file in error messages."""
    content: Callable[[], Path | IO[bytes]]
    """Return the path of the file, or its content."""

    @property
    def suffix(self) -> str:
        """Suffix in lower case, with the dot; "" if there is none."""
        return Path(self.parts[-1]).suffix.lower()


@dataclass(frozen=True)
class FileTree:
    """The files of a folder or archive, without hidden ones, sorted by path."""

    path: Path
    files: list[File]
    folders: set[str]
    """Top-level folders, including empty ones."""


def read_tree(path: Path) -> FileTree:
    """List a folder or a zip archive without unpacking it.

    If an archive holds a single top-level folder with sub-folders or a `dataset.json`, that folder
    is the root. Raises `InputError` naming a folder, link or member that cannot be read.
    """
    if path.is_dir():
        files = [
            File(file.relative_to(path).parts, str(file), lambda file=file: file)  # type: ignore[misc]
            for file in list_files(path)
        ]
        tops = {entry.name for entry in path.iterdir() if entry.is_dir()}
        return FileTree(path, files, {name for name in tops if not is_ignored(name)})
    return _strip_wrapper(_read_archive(path))


def _read_archive(path: Path) -> FileTree:
    """List the members of a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read as a zip archive ({error}). Copy or create it again."
        ) from error
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
            raise InputError(f"{where}: occurs twice in the archive. Create the archive again.")
        files[parts] = File(parts, where, _Member(archive, member, where, lock))
    return FileTree(path, [files[parts] for parts in sorted(files)], folders)


def _check_member(member: zipfile.ZipInfo, where: str) -> None:
    """Raise `InputError` if a member is not a regular file that fits in memory."""
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{where}: is a symbolic link. Pack the file itself.")
    if member.flag_bits & 0x1:
        raise InputError(f"{where}: is encrypted. Pack the files without a password.")
    if member.file_size > LARGEST_MEMBER:
        raise InputError(
            f"{where}: has {member.file_size:,} bytes uncompressed; expected at most "
            f"{LARGEST_MEMBER:,}. Remove the file, or unpack the archive and use the folder."
        )


@dataclass(frozen=True)
class _Member:
    """Read one archive member; safe to call from several threads."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    where: str
    lock: Lock

    def __call__(self) -> IO[bytes]:
        try:
            # `read` verifies the CRC and stops at the size that `_check_member` checked.
            with self.lock:
                return io.BytesIO(self.archive.read(self.member))
        except DAMAGED as error:
            raise InputError(
                f"{self.where}: is damaged ({error}). Copy or create the archive again."
            ) from error


def _strip_wrapper(tree: FileTree) -> FileTree:
    """Remove a single top-level folder from all paths, unless that folder is a class."""
    if len(tree.folders) != 1 or any(len(file.parts) < 2 for file in tree.files):
        return tree
    inner = {file.parts[1] for file in tree.files if len(file.parts) > 2}
    if not inner and not any(file.parts[1:] == ("dataset.json",) for file in tree.files):
        return tree
    files = [replace(file, parts=file.parts[1:]) for file in tree.files]
    return FileTree(tree.path, files, inner)
