"""Time until all jobs of a study are done on one machine, where some run beside each other."""

from __future__ import annotations

import bisect
import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Work", "seconds_until_done"]

Key = tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """A job."""

    seconds: float
    after: Sequence[Key] = ()
    """Jobs that must be done before; others than those given count as done."""
    cores: int = 1
    priority: int = 0
    """Of the jobs that can start, those of the highest priority do."""


def seconds_until_done(jobs: Mapping[Key, Work], cores: int) -> float:
    """Return when the last of `jobs` ends, if each starts as soon as it can on `cores` cores.

    A job that wants more cores than there are gets all of them.
    """
    order = {key: (-work.priority, place) for place, (key, work) in enumerate(jobs.items())}
    missing = {key: {k for k in work.after if k in jobs} for key, work in jobs.items()}
    followers = defaultdict[Key, list[Key]](list)
    for key, before in missing.items():
        for each in before:
            followers[each].append(key)
    ready = sorted((key for key, before in missing.items() if not before), key=order.__getitem__)
    running: list[tuple[float, Key]] = []
    free, now = cores, 0.0
    while ready or running:
        for key in _fitting(jobs, ready, free, cores):
            ready.remove(key)
            free -= min(jobs[key].cores, cores)
            heapq.heappush(running, (now + jobs[key].seconds, key))
        now, ended = heapq.heappop(running)
        free += min(jobs[ended].cores, cores)
        for key in followers[ended]:
            missing[key].remove(ended)
            if not missing[key]:
                bisect.insort(ready, key, key=order.__getitem__)
    return now


def _fitting(jobs: Mapping[Key, Work], ready: Sequence[Key], free: int, cores: int) -> list[Key]:
    """Return the first jobs that are ready and fit together on `free` of `cores` cores."""
    found = []
    for key in ready:
        if not free:
            break
        needed = min(jobs[key].cores, cores)
        if needed <= free:
            found.append(key)
            free -= needed
    return found
