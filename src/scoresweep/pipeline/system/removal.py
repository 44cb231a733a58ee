"""Remove results, and find what killed processes left behind."""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path

from scoresweep.pipeline.system.atomic_files import SECONDS_PER_DAY, remove
from scoresweep.pipeline.system.process import process_exists

__all__ = ["bytes_of", "is_left_behind", "remove_at_once"]


def remove_at_once(path: Path) -> None:
    """Remove a file, a link or a folder; a killed process leaves it whole, or under another name.

    The other name is that of a temporary file, see `is_left_behind`.
    """
    name = f".removed-{secrets.token_hex(4)}.{socket.gethostname()}.{os.getpid()}.part"
    temporary = path.with_name(name)
    path.rename(temporary)
    remove(temporary)


def is_left_behind(path: Path) -> bool:
    """Return whether `path` is a temporary file or folder whose process has ended.

    We cannot tell whether a process on another host is alive; its files count after a day without a
    change.
    """
    if not (path.name.startswith(".") and path.name.endswith(".part")):
        return False
    start, _, pid = path.name.removesuffix(".part").rpartition(".")
    if start.endswith(f".{socket.gethostname()}") and pid.isdigit():
        return not process_exists(int(pid))
    try:
        return time.time() - path.lstat().st_mtime > SECONDS_PER_DAY
    except FileNotFoundError:
        return False


def bytes_of(path: Path) -> int:
    """Return the size of a file, a link, or all files in a folder; 0 if it does not exist."""
    try:
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                return sum(bytes_of(Path(entry)) for entry in entries)
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
