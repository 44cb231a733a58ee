"""Show the state of a study again and again, for `scoresweep status --watch`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from scoresweep.pipeline.commands.progress.status_table import (
    count_lines,
    print_status,
    status_lines,
    status_table,
)
from scoresweep.pipeline.commands.progress.study_status import StudyStatus, read_status
from scoresweep.pipeline.study import Plan

__all__ = ["watch_status"]

LIMIT = 40
"""Runs and settings listed at the end."""

TABLE_LINES = 8
"""Lines of a table and of the screen that are not jobs."""


def watch_status(plan: Plan, seconds: float, console: Console | None = None) -> None:
    """Show the state of a study every `seconds` until all is done or Ctrl-C; print the last one.

    On a terminal it is redrawn in place. Otherwise a line is printed if the number of jobs in a
    state changes.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    last: StudyStatus | None = None
    with contextlib.suppress(KeyboardInterrupt):
        for found in _redrawn(plan, seconds, console):
            last = found
    if last:
        print_status(last, LIMIT, console)


def _redrawn(plan: Plan, seconds: float, console: Console) -> Iterator[StudyStatus]:
    """Show and yield the state of a study until all is done."""
    if not console.is_terminal:
        yield from _lines(plan, seconds, console)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for found in _states(plan, seconds):
            live.update(_screen(found, seconds, console.size.height), refresh=True)
            yield found


def _states(plan: Plan, seconds: float) -> Iterator[StudyStatus]:
    """Yield the state of a study every `seconds`, or half of the time if it takes long to find."""
    while True:
        started = time.monotonic()
        found = read_status(plan)
        took = time.monotonic() - started
        yield found
        if found.is_done:
            return
        time.sleep(max(seconds - took, took))


def _lines(plan: Plan, seconds: float, console: Console) -> Iterator[StudyStatus]:
    """Print a line whenever the counts change."""
    before = ""
    for found in _states(plan, seconds):
        counts = "; ".join(count_lines(found))
        if counts != before:
            console.print(f"{time.strftime('%H:%M:%S')} {counts}", markup=False, soft_wrap=True)
        before = counts
        yield found


def _screen(found: StudyStatus, seconds: float, height: int) -> Group:
    """Return the lines and as much of the table as fits on a screen of this height."""
    ending = f"every {seconds:g} s, at {time.strftime('%H:%M:%S')}; Ctrl-C ends"
    lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in status_lines(found)]
    rows = max(4, height - len(lines) - TABLE_LINES)
    runs = min(len(found.runs), rows // 2)
    return Group(*lines, Text(ending, style="dim"), status_table(found, runs, rows - runs))
