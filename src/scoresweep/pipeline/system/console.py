"""Terminal output: progress bars on a terminal, plain lines in a log file."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "counted", "duration", "progress", "say"]

Advance = Callable[[int], None]
"""Called with the number of units done since the last call."""

SECONDS_BETWEEN_LINES = 10.0


@cache
def console() -> Console:
    """Return the terminal. Rich is imported here, since `--help` does not need it."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print one line to standard error."""
    console().print(message, markup=False)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 run" or "1,200 runs"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


@contextlib.contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show progress: a bar on a terminal, else a line every ten seconds.

    Yields a function to call with the number of units done since the last call.

    Args:
        description: title of the bar.
        total: number of units.
        done: units that an earlier start finished; they do not count towards the speed.
    """
    if sys.stderr.isatty():
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console()) as bar:
            task = bar.add_task(description, total=total, completed=done)
            yield lambda units: bar.advance(task, units)
        return
    resumed_at = done
    last = started = time.monotonic()

    def advance(units: int) -> None:
        nonlocal done, last
        done += units
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            remaining = (now - started) * (total - done) / max(done - resumed_at, 1)
            say(f"{description}: {done} of {total}, about {remaining:.0f} s left")

    yield advance


def duration(seconds: float) -> str:
    """Format a time: "41 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"
