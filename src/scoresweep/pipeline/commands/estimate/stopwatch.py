"""Time a piece of work, or a small part of it from which the whole is extrapolated.

Work on the CPU is timed in processor time, which hardly depends on other load; by how much that
load slows the work down is measured once, over all of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

__all__ = ["extrapolate", "mean_seconds", "seconds_at"]

LONG_ENOUGH = 0.1
"""Seconds over which work is timed, unless a single call takes longer."""

MAX_CALLS = 20
"""Calls that are averaged at most."""

GROWTH = 4
"""Factor between one size and the next."""


def mean_seconds(
    work: Callable[[], object], synchronize: Callable[[], None] | None = None
) -> float:
    """Return the mean processor seconds of calls of `work`.

    `synchronize` waits for a GPU, if there is work on one: then the time that passes counts.
    """
    clock = time.process_time if synchronize is None else time.perf_counter
    started, calls = clock(), 0
    while True:
        work()
        if synchronize is not None:
            synchronize()
        calls += 1
        elapsed = clock() - started
        if elapsed > LONG_ENOUGH or calls == MAX_CALLS:
            return elapsed / calls


def seconds_at(
    work: Callable[[int], object],
    full: int,
    first: int = 8,
    synchronize: Callable[[], None] | None = None,
) -> float:
    """Return the seconds of `work(full)`, extrapolated from smaller sizes if that is slow.

    Sizes grow from `first` until a call takes `LONG_ENOUGH`.
    """
    size, times = min(full, first), dict[int, float]()
    work(size)  # warm-up: allocation and kernel selection
    while True:
        times[size] = mean_seconds(lambda size=size: work(size), synchronize)  # type: ignore[misc]
        if size == full or times[size] > LONG_ENOUGH:
            return extrapolate(times, full)
        size = min(full, GROWTH * size)


def extrapolate(times: Mapping[int, float], size: int) -> float:
    """Return the seconds at `size` from the seconds at smaller sizes, in rising order.

    Costs with a constant part grow along the line through the last two sizes, those of pairs of
    samples by a power of the size of up to 2: the larger of both is returned. From a single size,
    they are proportional to it.
    """
    *before, (n, seconds) = times.items()
    if size == n:
        return seconds
    if not before:
        return seconds * size / n
    m, less = before[-1]
    line = seconds + max(seconds - less, 0.0) * (size - n) / (n - m)
    power = min(max(math.log(seconds / less) / math.log(n / m), 0.0), 2.0)
    return max(line, seconds * math.pow(size / n, power))
