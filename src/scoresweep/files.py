"""Write files so that one that exists is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import math
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import psutil

from scoresweep.errors import RunError

__all__ = [
    "NO_SPACE",
    "exclusive",
    "flush",
    "is_taken",
    "remove",
    "sha256_of",
    "whole",
    "write_json",
]

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, an exhausted quota and a limit on the size of files."""

NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}
"""Errors of a file system without locks."""

SECONDS_BETWEEN_TRIES = 0.2


@contextlib.contextmanager
def whole(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`, to be written as a file or folder, then rename it.

    If the body raises, what it wrote is removed and `path` is left as it was; what a process that
    was killed has left of `path` goes as well. A file that is `durable` is on the disk before it
    has its name, so that a power cut leaves the old one or the new one. Raises `RunError` where the
    disk, or a quota or limit on it, is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    remove(temporary)
    _remove_left(path)
    try:
        yield temporary
        if durable:
            _sync(temporary)
        if path.is_dir():
            remove(path)
        temporary.replace(path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise RunError(
            f"{path}: could not be written ({error.strerror}). Nothing half-written is left; free "
            f"some space and run the same command again."
        ) from error
    finally:
        remove(temporary)


def _remove_left(path: Path) -> None:
    """Remove what processes of this machine that are gone have half written of `path`."""
    name = glob.escape(f".{path.name}.{socket.gethostname()}.")
    for left in path.parent.glob(f"{name}*.part"):
        pid = left.name.removesuffix(".part").rpartition(".")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            with contextlib.suppress(FileNotFoundError):  # another process removes it, too
                remove(left)


@contextlib.contextmanager
def exclusive(path: Path, patience: float = math.inf) -> Iterator[None]:
    """Let one process at a time into the body; `path` is the lock's file.

    The system drops the lock when its process ends, however it ends. Some file systems of clusters
    have no locks, and some keep those of a node that is dead: there one is let in at once, or after
    `patience` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        deadline = time.monotonic() + patience
        while not _lock(file) and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_TRIES)
        yield


def _lock(file: TextIO) -> bool:
    """Try to take the lock of an open file; return whether that is done."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def is_taken(path: Path) -> bool:
    """Tell whether a process is inside `exclusive(path)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        return not _lock(file)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(folder: Path) -> None:
    """Make the disk hold the files of a folder, so that a rename never shows an empty one."""
    for path in [*folder.iterdir(), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any, durable: bool = False) -> None:
    """Write `content` as indented JSON; `durable` as in `whole`."""
    with whole(path, durable) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
