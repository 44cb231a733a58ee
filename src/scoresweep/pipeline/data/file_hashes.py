"""The files of a user's own data: which ones count, and a checksum of their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import sha256_of

__all__ = ["files_below", "hash_files", "is_ignored", "is_unchanged"]

TOOLS = {
    *("$recycle.bin", "#recycle", "@eadir", "__macosx", "__pycache__", "desktop.ini"),
    *("ehthumbs.db", "icon\r", "lost+found", "system volume information", "thumbs.db"),
}
"""Names, in lower case, of files and folders that systems and tools leave among data."""
ZARR_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata"}
"""Hidden files that are part of a Zarr store (version 2)."""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or a tool's, and so never data."""
    return (name.startswith(".") and name not in ZARR_METADATA) or name.lower() in TOOLS


def files_below(folder: Path) -> list[Path]:
    """Return every file below `folder`, sorted; links are followed, ignored names left out.

    Raises `InputError` naming a folder that cannot be read, a link that leads nowhere or back to a
    folder above it, and whatever is neither a file nor a folder.
    """
    return sorted(_walk(folder, ()))


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> list[Path]:
    """Return the files below `folder`; `above` holds device and inode of the folders above it."""
    found: list[Path] = []
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            raise InputError(f"{folder}: is a link to a folder above it; remove the link.")
        with os.scandir(folder) as entries:
            kinds = {
                folder / entry.name: "folder" if entry.is_dir() else entry.is_file() and "file"
                for entry in entries
                if not is_ignored(entry.name)
            }
    except OSError as error:
        where = error.filename or folder
        raise InputError(f"{where}: cannot be read ({error.strerror}).") from error
    for path, kind in kinds.items():
        if kind == "folder":
            found += _walk(path, (*above, identity))
        elif kind == "file":
            found.append(path)
        else:
            what = "a link that leads nowhere" if path.is_symlink() else "not a file"
            raise InputError(f"{path}: is {what}; remove or repair it.")
    return found


def hash_files(path: Path) -> dict[str, str]:
    """Return a name for the data at `path`, and its SHA-256.

    The SHA-256 of a folder is that of a list of its files and theirs, as `sha256sum` writes it.
    Raises `InputError` naming a file or folder that cannot be read.
    """
    if path.is_file():
        return {path.name: _sha256(path)}
    return _listed(path, files_below(path))


def is_unchanged(path: Path, recorded: dict[str, str]) -> bool:
    """Return whether the data at `path` are those of a record that `hash_files` made.

    Earlier versions recorded hidden files too, and nothing of linked folders. Their records stay
    valid unless they list no file at all.
    """
    if recorded == hash_files(path):
        return True
    if path.is_file():
        return False
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return bool(files) and recorded == _listed(path, files)


def _listed(path: Path, files: list[Path]) -> dict[str, str]:
    lines = (f"{_sha256(file)}  {file.relative_to(path)}\n" for file in files)
    # Names that are not UTF-8 count with the bytes that they have.
    listed = b"".join(os.fsencode(line) for line in lines)
    return {f"{path.name} ({len(files)} files)": hashlib.sha256(listed).hexdigest()}


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
