"""Keep what was loaded from files while several settings need it.

A job that draws and measures many settings of a run loads the network, the real samples and their
features once. Other processes keep nothing, so that they need no more memory.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["keep_loaded", "load_once"]

T = TypeVar("T")

_kept: dict[str, tuple[Hashable, Any]] | None = None
"""By kind of value: the files that it was loaded from, and the value. None: keep nothing."""


@contextlib.contextmanager
def keep_loaded() -> Iterator[None]:
    """Within this block, `load_once` keeps the last value of each kind."""
    global _kept
    outer, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = outer


def load_once(
    kind: str, files: tuple[Path, ...], load: Callable[[], T], *, copies: bool = False
) -> T:
    """Return `load()`, or the kept value of this kind if it is of the same, unchanged files.

    Callers must not change the value, unless `copies`: then each gets a copy of its own. Outside
    of `keep_loaded`, always loads.
    """
    if _kept is None:
        return load()
    stamp = tuple(_stamp(file) for file in files)
    before, value = _kept.get(kind, (None, None))
    if before != stamp:
        _kept.pop(kind, None)  # free it before the next is loaded
        value = load()
        _kept[kind] = (stamp, value)
    return copy.deepcopy(value) if copies else value  # type: ignore[no-any-return]


def _stamp(file: Path) -> Hashable:
    """Return what changes if a file is replaced or written; another one each time if missing."""
    try:
        found = file.stat()
    except OSError:
        return object()
    return (str(file), found.st_ino, found.st_size, found.st_mtime_ns)
