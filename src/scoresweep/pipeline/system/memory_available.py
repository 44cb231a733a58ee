"""How much memory is available on this machine, and how many processes share it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["memory_available", "processes_here"]

OWN_GROUPS, ALL_GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Files:
    """Where a version of control groups says how much memory a group may take and has taken."""

    limit: str
    taken: str
    cached: tuple[str, ...]
    """Lines of `memory.stat` with bytes that are given up for want of memory."""


V1 = _Files(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")
)
V2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file", "slab_reclaimable"))


def processes_here() -> int:
    """Return how many processes of the job that this one belongs to share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def memory_available() -> int:
    """Return the bytes that can still be taken on this machine, or in its control group.

    Linux kills processes that take more. Other systems make room on the disk: there all memory
    counts.
    """
    memory = psutil.virtual_memory()
    if sys.platform != "linux":
        return int(memory.total)
    return max(0, min([memory.available, *(limit - taken for limit, taken in _groups())]))


def _groups() -> Iterator[tuple[int, int]]:
    """Yield the limit in bytes of each control group that holds this process, and what is taken."""
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_GROUPS.read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                yield from _ancestors(ALL_GROUPS / "memory", path, V1)
            elif not controllers:
                yield from _ancestors(ALL_GROUPS, path, V2)


def _ancestors(root: Path, path: str, files: _Files) -> Iterator[tuple[int, int]]:
    for group in (Path(path), *Path(path).parents):
        folder = root / group.relative_to("/")
        with contextlib.suppress(OSError, ValueError):  # not there, or "max": no limit
            limit = int((folder / files.limit).read_text(encoding="ascii"))
            taken = int((folder / files.taken).read_text(encoding="ascii"))
            lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            stat = dict(line.split() for line in lines)
            yield limit, taken - sum(int(stat.get(name, 0)) for name in files.cached)
