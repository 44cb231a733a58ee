"""List and hash the files of user data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import sha256_of

__all__ = ["hash_files", "is_ignored", "list_files", "matches_record"]

TOOL_FILES = {
    *("$recycle.bin", "#recycle", "@eadir", "__macosx", "__pycache__", "desktop.ini"),
    *("ehthumbs.db", "icon\r", "lost+found", "system volume information", "thumbs.db"),
}
"""Files and folders that operating systems and tools create, in lower case."""
ZARR_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata"}
"""Hidden files that belong to a Zarr store (version 2)."""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is never data: hidden, or created by a tool."""
    return (name.startswith(".") and name not in ZARR_METADATA) or name.lower() in TOOL_FILES


def list_files(folder: Path) -> list[Path]:
    """Return all files below `folder`, sorted, without ignored ones; links are followed.

    Raises `InputError` naming an unreadable folder, a broken or circular link, or a special file.
    """
    return sorted(_walk(folder, ()))


def _walk(folder: Path, parents: tuple[tuple[int, int], ...]) -> list[Path]:
    """Return the files below `folder`; `parents` are (device, inode) of the folders above."""
    found: list[Path] = []
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in parents:
            raise InputError(f"{folder}: is a link to a folder above it. Remove the link.")
        with os.scandir(folder) as entries:
            kinds = {
                folder / entry.name: "folder" if entry.is_dir() else entry.is_file() and "file"
                for entry in entries
                if not is_ignored(entry.name)
            }
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from error
    for path, kind in kinds.items():
        if kind == "folder":
            found += _walk(path, (*parents, identity))
        elif kind == "file":
            found.append(path)
        else:
            what = "a broken link" if path.is_symlink() else "neither a file nor a folder"
            raise InputError(f"{path}: is {what}. Repair or remove it.")
    return found


def hash_files(path: Path) -> dict[str, str]:
    """Return a description of the data at `path`, and its SHA-256.

    For a folder, this is the SHA-256 of the list of its files in the format of `sha256sum`.
    Raises `InputError` naming a file or folder that cannot be read.
    """
    if path.is_file():
        return {path.name: _sha256(path)}
    return _hash_list(path, list_files(path))


def matches_record(path: Path, recorded: dict[str, str]) -> bool:
    """Return whether the data at `path` has the recorded result of `hash_files`.

    Earlier versions included hidden files and did not follow linked folders. Their records are
    accepted, unless they contain no files.
    """
    if recorded == hash_files(path):
        return True
    if path.is_file():
        return False
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return bool(files) and recorded == _hash_list(path, files)


def _hash_list(path: Path, files: list[Path]) -> dict[str, str]:
    lines = (f"{_sha256(file)}  {file.relative_to(path)}\n" for file in files)
    # `fsencode` keeps the bytes of names that are not UTF-8.
    listing = b"".join(os.fsencode(line) for line in lines)
    return {f"{path.name} ({len(files)} files)": hashlib.sha256(listing).hexdigest()}


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.")
