"""Locks between processes, on one host or on several that share a file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.process import process_exists

__all__ = ["file_lock", "lock_if_free"]

LOCKS_UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""Errors of a file system without locks."""

POLL_SECONDS = 0.2

SECONDS_BETWEEN_MESSAGES = 600.0

SECONDS_UNTIL_RECORDED = 10.0
"""Seconds after which a lock file names its new holder, no longer the previous one."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Linux only."""


@contextlib.contextmanager
def file_lock(
    path: Path,
    patience: float = math.inf,
    waiting: str = "another process does this already; waiting for it",
) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` while the body runs.

    The system releases the lock when the process ends, even if it crashes. On a file system without
    locks, the body runs at once. On one that keeps the locks of a crashed host, it runs after
    `patience` seconds, or when a user removes the file.

    Args:
        path: the lock file; its folder is created.
        patience: seconds to wait at most.
        waiting: message while waiting; the holder of the lock is appended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _acquire(path, patience, waiting) or contextlib.nullcontext():
        yield


@contextlib.contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock on `path` while the body runs, if no other process has it; yield whether it is
    held.

    A lock file that does not exist is not created, since no process can hold it.
    """
    file = _try_lock(path) if path.exists() else None
    if file is None:
        yield not path.exists()
        return
    with file:
        _record_holder(file)
        yield True


def _acquire(path: Path, patience: float, waiting: str) -> TextIO | None:
    """Return the open lock file once it is locked; None if the patience has run out."""
    limit = "" if patience == math.inf else f", {patience:.0f} s at most"
    deadline, last_message, last_holder = time.monotonic() + patience, -math.inf, None
    while (file := _try_lock(path)) is None:
        now, holder = time.monotonic(), _read_holder(path)
        if now > deadline:
            return None
        if holder != last_holder or now - last_message > SECONDS_BETWEEN_MESSAGES:
            last_holder, last_message = holder, now
            say(
                f"{waiting}{limit}{_describe(holder)}. If its host has crashed, remove {path} to "
                f"continue"
            )
        elif now - last_message > SECONDS_UNTIL_RECORDED and _has_ended(holder):
            say(f"{path}: its process has ended{_describe(holder)}; ignoring the lock")
            path.unlink(missing_ok=True)
        time.sleep(POLL_SECONDS)
    _record_holder(file)
    return file


def _try_lock(path: Path) -> TextIO | None:
    """Open and lock a file; return None if another process holds the lock."""
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # If the file was removed meanwhile, others would lock a new file of that name.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno in LOCKS_UNSUPPORTED:
            return file
        file.close()
        raise
    file.close()
    return None


def _record_holder(file: TextIO) -> None:
    """Record the holder in the lock file, where other hosts can read it."""
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    holder = {"host": socket.gethostname(), "boot": _boot_id(), "pid": os.getpid(), "since": since}
    with contextlib.suppress(OSError):  # on a full disk the lock holds without the record
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), json.dumps(holder).encode())
        os.fsync(file.fileno())


def _read_holder(path: Path) -> dict[str, Any]:
    """Return the last recorded holder of a lock file, or {} if it cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _describe(holder: dict[str, Any]) -> str:
    """Return the holder of a lock in parentheses, or "" if it is unknown."""
    if not holder:
        return ""
    return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"


def _has_ended(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this host that has ended."""
    if holder.get("host") != socket.gethostname():
        return False
    return holder["boot"] != _boot_id() or not process_exists(holder["pid"])


def _boot_id() -> str:
    """Return an id that changes when the host restarts; "" on systems without one."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
