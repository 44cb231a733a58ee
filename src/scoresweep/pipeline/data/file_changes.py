"""Detect whether user files have changed since staging.

Only the content decides, but hashing a large folder takes minutes. So the result is cached next
to the staged store, together with a fingerprint of names, sizes, times and inodes. The files are
hashed again only if the fingerprint has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from scoresweep.pipeline.data.user_files import list_files, matches_record
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.atomic_files import write_json

__all__ = ["cache_comparison", "fingerprint", "is_unchanged"]


def fingerprint(path: Path) -> str:
    """Return a hash of name, size, times and inode of every file at or below `path`.

    Raises `InputError` if a file or folder cannot be read.
    """
    digest = hashlib.sha256()
    for file in list_files(path) if path.is_dir() else [path]:
        stat = file.stat()
        facts = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
        digest.update(os.fsencode(file.relative_to(path.parent)) + repr(facts).encode())
    return digest.hexdigest()


def is_unchanged(path: Path, recorded: dict[str, str], cache: Path) -> bool:
    """Return whether the files at `path` match a record of `hash_files`.

    The file `cache` holds the last result. Raises `InputError` if a file cannot be read.
    """
    current = fingerprint(path)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        cached = json.loads(cache.read_text(encoding="utf-8"))
        if cached["fingerprint"] == current and cached["recorded"] == recorded:
            return bool(cached["is_same"])
    result = matches_record(path, recorded)
    cache_comparison(cache, current, recorded, is_same=result)
    return result


def cache_comparison(
    cache: Path, current: str, recorded: dict[str, str], *, is_same: bool = True
) -> None:
    """Cache whether files with the fingerprint `current` match the record; ignore write errors."""
    with contextlib.suppress(OSError, RunError):
        content = {"fingerprint": current, "recorded": recorded, "is_same": is_same}
        write_json(cache, content, durable=False)
