"""How much memory this machine has, and a bound that lets nobody take more."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["bounded_memory", "memory_available", "memory_limit", "processes_here"]

OWN_GROUPS, ALL_GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Files:
    """Where a version of control groups says how much memory a group may take and has taken."""

    limit: str
    taken: str
    cached: tuple[str, str]
    """Lines of `memory.stat` with bytes of files, which are given up for want of memory."""


V1 = _Files(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")
)
V2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file"))


def processes_here() -> int:
    """Return how many processes of the job that this one belongs to share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def memory_limit() -> int:
    """Return the bytes of this machine's memory, or of the share that its control group has."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _groups())])


def memory_available() -> int:
    """Return the bytes that can still be taken on this machine, or in its control group."""
    machine = psutil.virtual_memory().available + psutil.swap_memory().free
    return max(0, min([machine, *(limit - taken for limit, taken in _groups())]))


@contextlib.contextmanager
def bounded_memory(processes: int) -> Iterator[None]:
    """Let an allocation fail in the body where memory does not suffice for it.

    The system would grant it, and kill the process without a word once it is used. What is
    available when the body begins is the bound, of which each of `processes` gets an equal part;
    those that the body starts inherit it. Within another bound, this one takes its place. Not
    beside GPUs: their driver takes far more addresses than memory. Only Linux has a bound that
    holds; elsewhere there is none.
    """
    if sys.platform != "linux":
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = psutil.Process().memory_info().data + memory_available() // processes
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _groups() -> Iterator[tuple[int, int]]:
    """Yield the limit in bytes of each control group that holds this process, and what is taken."""
    with contextlib.suppress(OSError):
        for line in OWN_GROUPS.read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
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
            yield limit, taken - sum(int(stat[name]) for name in files.cached)
