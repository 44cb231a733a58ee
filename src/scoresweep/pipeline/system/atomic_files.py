"""Atomic file writes: a file that exists is complete."""

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

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.process import process_exists

__all__ = [
    "DISK_FULL_ERRORS",
    "atomic_write",
    "read_json",
    "remove",
    "sha256_of",
    "sync_to_disk",
    "write_json",
]

DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, an exhausted quota and a file size limit."""

FSYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP}
"""Errors of a file system that cannot fsync a folder."""

SECONDS_PER_DAY = 86_400.0

REMOVE_SECONDS = 5.0
"""Time that threads of a failed write have to end."""

FSYNC_THREADS = 16
"""Files of a folder that are synced at the same time."""


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True, replaced: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path to write a file or folder to; then rename it to `path`.

    If the body raises, `path` is unchanged. The temporary file is removed, as are those that killed
    processes left behind. With `durable`, the content is synced to disk before the rename, so that
    a power cut leaves the old or the new version; without, it may leave an empty file. A folder
    cannot be replaced in one step: an existing one is moved to `replaced`, which must not exist and
    which the caller removes, or, without, it is removed.

    Raises:
        RunError: if the disk is full, or a quota or file size limit is exceeded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f"{_temporary_prefix(path)}{socket.gethostname()}.{os.getpid()}.part"
    )
    remove(temporary)
    _remove_stale(path)
    try:
        yield temporary
        if durable:
            sync_to_disk(temporary)
        if path.is_dir():
            if replaced is None:
                remove(path)
            else:
                path.rename(replaced)
        temporary.replace(path)
        if durable:
            _fsync(path.parent)
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        raise RunError(
            f"{path}: could not be written ({error.strerror}). No partial file was left. Free some "
            f"space and run the same command again."
        ) from error
    finally:
        remove(temporary)


def _temporary_prefix(path: Path) -> str:
    """Return the prefix of temporary names: the name of `path`, or its hash if it is long.

    A file name has at most 255 bytes, and the host name and process id must fit as well.
    """
    name = os.fsencode(path.name)
    return f".{path.name if len(name) <= 150 else hashlib.sha256(name).hexdigest()}."


def _remove_stale(path: Path) -> None:
    """Remove temporary files of `path` whose process has ended.

    We cannot tell whether a process on another host is alive, so its files are removed after a day
    without a change.
    """
    prefix = _temporary_prefix(path)
    for temporary in path.parent.glob(glob.escape(prefix) + "*.part"):
        host, _, pid = temporary.name.removeprefix(prefix).removesuffix(".part").rpartition(".")
        with contextlib.suppress(FileNotFoundError):  # another process may remove it first
            if host == socket.gethostname():
                is_stale = pid.isdigit() and not process_exists(int(pid))
            else:
                is_stale = time.time() - temporary.stat().st_mtime > SECONDS_PER_DAY
            if is_stale:
                remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it exists.

    Other processes may remove the same path at the same time, and threads of a write that failed
    may still add files to it for a moment.
    """
    deadline = time.monotonic() + REMOVE_SECONDS
    while path.is_dir() and not path.is_symlink():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    path.unlink(missing_ok=True)


def sync_to_disk(path: Path) -> None:
    """Sync a file, or a folder with everything in it, to disk."""
    if path.is_dir():
        # File systems serve simultaneous calls with one write to their journal.
        with ThreadPoolExecutor(FSYNC_THREADS) as threads:
            list(threads.map(_fsync, [path, *path.rglob("*")]))
    else:
        _fsync(path)


def _fsync(path: Path) -> None:
    """Sync the content of a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in FSYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any, durable: bool = True) -> None:
    """Write `content` as indented JSON; `durable` as in `atomic_write`.

    Tries a second time if the folder is deleted meanwhile.
    """
    text = json.dumps(content, indent=2, default=str) + "\n"
    for is_last_try in (False, True):
        try:
            with atomic_write(path, durable) as temporary:
                temporary.write_text(text, encoding="utf-8")
            return
        except FileNotFoundError:
            if is_last_try:
                raise


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; {} if it is missing or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
