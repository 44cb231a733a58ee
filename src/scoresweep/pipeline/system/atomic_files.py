"""Write files so that one that exists is whole."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from scoresweep.pipeline.errors import RunError

__all__ = ["NO_SPACE", "atomic_write", "flush", "remove", "sha256_of", "write_json"]

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, an exhausted quota and a limit on the size of files."""

NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""Errors of a file system that cannot flush a folder."""

SECONDS_OF_A_DAY = 86_400.0

FLUSHES = 16
"""Files of a folder that are flushed at a time."""


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path`, to be written as a file or folder, then rename it.

    If the body raises, what it wrote is removed and `path` is left as it was; what a process that
    was killed has left of `path` goes as well. All of it is on the disk before it has its name, so
    that a power cut leaves the old one or the new one; what is not `durable` may be empty then.
    Raises `RunError` where the disk, or a quota or limit on it, is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_beginning(path)}{socket.gethostname()}.{os.getpid()}.part")
    remove(temporary)
    _remove_left(path)
    try:
        yield temporary
        if durable:
            flush(temporary)
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


def _beginning(path: Path) -> str:
    """Return what temporary names of `path` begin with: its name, or a hash of a long one.

    A file name has at most 255 bytes; a host's name and a process number have to fit as well.
    """
    name = os.fsencode(path.name)
    return f".{path.name if len(name) <= 150 else hashlib.sha256(name).hexdigest()}."


def _remove_left(path: Path) -> None:
    """Remove what processes that are gone have half written of `path`.

    Of another machine's process nobody knows here whether it is gone: a day without a change says
    so.
    """
    for left in path.parent.glob(glob.escape(_beginning(path)) + "*.part"):
        name = left.name.removeprefix(_beginning(path)).removesuffix(".part")
        host, _, pid = name.rpartition(".")
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if host == socket.gethostname():
                is_left = pid.isdigit() and not psutil.pid_exists(int(pid))
            else:
                is_left = time.time() - left.stat().st_mtime > SECONDS_OF_A_DAY
            if is_left:
                remove(left)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it exists.

    Another process may remove the same at the same time.
    """
    while path.is_dir() and not path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
    path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make the disk hold a file, or a folder with all that is in it."""
    if path.is_dir():
        # The file system serves those that wait at the same time with one write to its journal.
        with ThreadPoolExecutor(FLUSHES) as threads:
            list(threads.map(_sync, [path, *path.rglob("*")]))
    else:
        _sync(path)


def _sync(path: Path) -> None:
    """Make the disk hold what is in a file, or the names that are in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any, durable: bool = True) -> None:
    """Write `content` as indented JSON; `durable` as in `atomic_write`.

    If the folder is deleted while it is written, it is written once more.
    """
    text = json.dumps(content, indent=2, default=str) + "\n"
    for is_last in (False, True):
        try:
            with atomic_write(path, durable) as temporary:
                temporary.write_text(text, encoding="utf-8")
            return
        except FileNotFoundError:
            if is_last:
                raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
