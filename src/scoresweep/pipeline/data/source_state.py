"""Have a user's own files changed since they were staged?

Hashing a large folder takes minutes, so the answer is cached beside the staged store, with a
fingerprint of the files: names, sizes, times and inodes. If the fingerprint differs, the files are
hashed again: their content alone decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from scoresweep.pipeline.data.file_hashes import is_unchanged
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.atomic_files import write_json

__all__ = ["fingerprint", "is_same", "remember"]


def fingerprint(path: Path) -> str:
    """Return a hash of name, size, times and inode of every file at or below `path`."""
    digest = hashlib.sha256()
    for name, about in _files(path):
        facts = about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino
        digest.update(os.fsencode(name) + repr(facts).encode())
    return digest.hexdigest()


def is_same(path: Path, recorded: dict[str, str], cache: Path) -> bool:
    """Return whether the files at `path` are those of a record of `own_files`.

    The answer is taken from the file `cache` if that is of the same files and record. Raises
    `InputError` if a file cannot be read.
    """
    now = fingerprint(path)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["fingerprint"] == now and known["recorded"] == recorded:
            return bool(known["is_same"])
    answer = is_unchanged(path, recorded)
    remember(cache, now, recorded, is_same=answer)
    return answer


def remember(cache: Path, state: str, recorded: dict[str, str], *, is_same: bool = True) -> None:
    """Note that files with the fingerprint `state` are the recorded ones, or are not.

    A cache that cannot be written is left alone.
    """
    with contextlib.suppress(OSError, RunError):
        content = {"fingerprint": state, "recorded": recorded, "is_same": is_same}
        write_json(cache, content, durable=False)


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield relative name and status of every file below `path`, links followed, in fixed order."""
    if not path.is_dir():
        yield path.name, path.stat()
        return
    seen = set[tuple[int, int]]()
    for folder, names, files in os.walk(path, followlinks=True):
        about = Path(folder).stat()
        if (about.st_dev, about.st_ino) in seen:  # a link to a folder above
            names.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        names.sort()
        for name in sorted(files):
            file = Path(folder, name)
            with contextlib.suppress(OSError):  # a broken link
                yield str(file.relative_to(path)), file.stat()
