"""Write files so that one that exists is whole; let one process at a time do so."""

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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import psutil

from scoresweep.console import say
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

NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""Errors of a file system that cannot flush a folder."""

SECONDS_BETWEEN_TRIES = 0.2
SECONDS_BETWEEN_WORDS = 600.0
SECONDS_TO_SIGN = 10.0
"""For which a lock's file may still name the process that held it before."""
SECONDS_OF_A_DAY = 86_400.0


@contextlib.contextmanager
def whole(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path`, to be written as a file or folder, then rename it.

    If the body raises, what it wrote is removed and `path` is left as it was; what a process that
    was killed has left of `path` goes as well. All of it is on the disk before it has its name, so
    that a power cut leaves the old one or the new one; what is not `durable` may be empty then.
    Raises `RunError` where the disk, or a quota or limit on it, is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
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


def _remove_left(path: Path) -> None:
    """Remove what processes that are gone have half written of `path`.

    Of another machine's process nobody knows here whether it is gone: a day without a change says
    so.
    """
    for left in path.parent.glob(glob.escape(f".{path.name}.") + "*.part"):
        name = left.name.removeprefix(f".{path.name}.").removesuffix(".part")
        host, _, pid = name.rpartition(".")
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if host == socket.gethostname():
                is_left = pid.isdigit() and not psutil.pid_exists(int(pid))
            else:
                is_left = time.time() - left.stat().st_mtime > SECONDS_OF_A_DAY
            if is_left:
                remove(left)


@contextlib.contextmanager
def exclusive(
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


def is_taken(path: Path) -> bool:
    """Tell whether a process is inside `exclusive(path)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path)
    if file:
        file.close()
    return file is None


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make the disk hold a file, or a folder with all that is in it."""
    for each in [path, *path.rglob("*")]:
        _sync(each)


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
    """Write `content` as indented JSON; `durable` as in `whole`."""
    with whole(path, durable) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
