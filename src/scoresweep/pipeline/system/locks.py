"""Let one process at a time do something, on one machine or on several that share files."""

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

import psutil

from scoresweep.pipeline.system.console import say

__all__ = ["file_lock", "is_locked"]

NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}
"""Errors of a file system without locks."""

SECONDS_BETWEEN_TRIES = 0.2

SECONDS_BETWEEN_WORDS = 600.0

SECONDS_TO_SIGN = 10.0
"""For which a lock's file may still name the process that held it before."""


@contextlib.contextmanager
def file_lock(
    path: Path,
    patience: float = math.inf,
    waiting: str = "another process does this already; waiting for that one",
) -> Iterator[None]:
    """Let one process at a time into the body; `path` is the lock's file.

    The system drops the lock when its process ends, however it ends. Some file systems of clusters
    have no locks: there one is let in at once. Some keep those of a machine that is dead: one is
    let in after `patience` seconds, or when somebody removes the file. `waiting` says what is
    waited for; who holds the lock is added.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _wait(path, patience, waiting) or contextlib.nullcontext():
        yield


def _wait(path: Path, patience: float, waiting: str) -> TextIO | None:
    """Return the file once it is locked and signed; None where the patience has run out."""
    limit = "" if patience == math.inf else f", {patience:.0f} s at most"
    deadline, told, known = time.monotonic() + patience, -math.inf, None
    while (file := _locked(path)) is None:
        now, holder = time.monotonic(), _holder(path)
        if now > deadline:
            return None
        if holder != known or now - told > SECONDS_BETWEEN_WORDS:
            known, told = holder, now
            say(
                f"{waiting}{limit}{_named(holder)}. If its machine has crashed, remove {path}; "
                f"this goes on then"
            )
        elif now - told > SECONDS_TO_SIGN and _is_gone(holder):
            say(f"{path} is locked for a process that is gone{_named(holder)}; going on")
            path.unlink(missing_ok=True)
        time.sleep(SECONDS_BETWEEN_TRIES)
    _sign(file)
    return file


def _locked(path: Path) -> TextIO | None:
    """Open and lock a file; None where another process has it locked."""
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have removed the file since: its lock keeps nobody out any more.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno in NO_LOCKS:
            return file
        file.close()
        raise
    file.close()
    return None


def _sign(file: TextIO) -> None:
    """Say in a lock's file who holds it; other machines see it, too."""
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    who = {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "since": since}
    with contextlib.suppress(OSError):  # the lock holds on a full disk, too
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), json.dumps(who).encode())
        os.fsync(file.fileno())


def _boot() -> str:
    """Return what is another one after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _holder(path: Path) -> dict[str, Any]:
    """Return who has signed a lock's file last; nothing where that cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _named(holder: dict[str, Any]) -> str:
    """Name the holder of a lock, as a part of a sentence."""
    if not holder:
        return ""
    return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"


def _is_gone(holder: dict[str, Any]) -> bool:
    """Tell whether a process was one of this machine and has ended, with the machine or alone."""
    if holder.get("host") != socket.gethostname():
        return False
    return holder["boot"] != _boot() or not psutil.pid_exists(holder["pid"])


def is_locked(path: Path) -> bool:
    """Tell whether a process is inside `exclusive(path)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path)
    if file:
        file.close()
    return file is None
