"""What every run and setting of a study is doing, from the files that the jobs leave behind.

Nothing here talks to a scheduler: a job that is done has left its last file, one that runs or has
failed says so in its progress file. So it works on any machine that sees the files, while the
workflow runs and after it.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scoresweep.hdf5 import is_whole
from scoresweep.jobstate import JobState
from scoresweep.study import Plan

__all__ = ["Job", "State", "duration", "jobs", "status"]

State = Literal["failed", "stale", "running", "sampled", "waiting", "done"]
"""`stale`: says that it runs and shows no sign of life; `sampled`: a setting to be evaluated."""

STALE_AFTER = 300.0
"""Seconds without a sign of life after which a running job is called stale."""

COLOURS: dict[State, str] = {
    "failed": "red",
    "stale": "yellow",
    "running": "cyan",
    "sampled": "blue",
    "waiting": "dim",
    "done": "green",
}
"""Every state, the ones that want attention first."""

HEADINGS = ["run / setting", "state", "step", "images/s", "time left", "restarts", "message"]


@dataclass(frozen=True)
class Job:
    """A run (`setting` is None) or a setting applied to a run."""

    run: str
    setting: str | None
    state: State
    message: str = ""
    progress: JobState | None = None
    """What the job last said."""

    @property
    def name(self) -> str:
        """Run id, or run id and setting id."""
        return self.run if self.setting is None else f"{self.run} / {self.setting}"

    @property
    def seconds_left(self) -> float | None:
        """Seconds that a running job still needs at its speed so far; None where unknown."""
        p = self.progress
        if self.state != "running" or p is None or not p.step:
            return None
        return p.seconds / p.step * (p.steps - p.step)


def jobs(plan: Plan) -> list[Job]:
    """Return all runs, then all settings of each, in the order of the plan, with their states.

    Each folder is listed once, so the cost is linear in the number of settings.
    """
    layout = plan.layout
    found = [
        Job(run.id, None, "done", progress=JobState.read(layout.progress(run.id)))
        if layout.weights(run.id).exists()
        else _at_work(run.id, None, layout.progress(run.id))
        for run in plan.runs
    ]
    for run in plan.runs:
        found.extend(_settings(plan, run.id))
    return found


def status(plan: Plan, limit: int = 40, console: Console | None = None) -> list[Job]:
    """Print a table of the study's runs and of the settings that are not done; return all of them.

    Those that want attention come first; at most `limit` of each kind are listed, the rest counted.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    found = jobs(plan)
    groups = {
        "runs": [job for job in found if job.setting is None],
        "settings": [job for job in found if job.setting is not None],
    }
    rows = []
    for kind, group in groups.items():
        listed = [job for job in group if kind == "runs" or job.state != "done"]
        urgent = sorted(listed, key=lambda job: list(COLOURS).index(job.state))
        rows += [_row(job) for job in urgent[:limit]]
        if len(listed) > limit:
            rows.append([f"and {len(listed) - limit:,} more {kind}", *[""] * (len(HEADINGS) - 1)])
    console.print(_table(plan, rows))
    for kind, group in groups.items():
        console.print(f"{kind}: {_counts(group)}", markup=False)
    return found


def _table(plan: Plan, rows: list[list[str]]) -> Table:
    """Return a table of `rows` without the columns that are empty in all of them."""
    used = [index for index in range(len(HEADINGS)) if any(row[index] for row in rows)]
    table = Table(title=f"Study {plan.study.study}", title_justify="left")
    for index in used:
        right = HEADINGS[index] in ("step", "images/s", "time left", "restarts")
        table.add_column(HEADINGS[index], justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(row[index] for index in used))
    return table


def duration(seconds: float) -> str:
    """Write a time for people: "41 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def _settings(plan: Plan, run: str) -> Iterator[Job]:
    layout = plan.layout
    sampled = _names(layout.results / "samples" / run)
    measured = _names(layout.results / "metrics" / run)
    for setting in plan.settings:
        progress = layout.samples_progress(run, setting.id)
        metrics = layout.metrics(run, setting.id)
        if metrics.name in measured:
            yield _measured(run, setting.id, metrics)
        elif layout.samples_manifest(run, setting.id).name in sampled:
            yield Job(run, setting.id, "sampled", "not evaluated yet")
        elif progress.name in sampled:
            yield _at_work(run, setting.id, progress)
        else:
            yield Job(run, setting.id, "waiting")


def _measured(run: str, setting: str, metrics: Path) -> Job:
    if is_whole(metrics):
        return Job(run, setting, "done")
    message = f"{metrics} is damaged; delete it and run the workflow again"
    return Job(run, setting, "failed", message)


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _at_work(run: str, setting: str | None, path: Path) -> Job:
    """Return a job that has not left its last file; `path` is its progress file."""
    progress = JobState.read(path)
    if progress is None:
        return Job(run, setting, "waiting")
    if progress.state == "failed":
        return Job(run, setting, "failed", progress.message, progress)
    reason = _no_life(progress)
    if not reason:
        return Job(run, setting, "running", progress.message, progress)
    message = f"{reason}; {progress.message}" if progress.message else reason
    return Job(run, setting, "stale", message, progress)


def _no_life(progress: JobState) -> str:
    """Say why a job that calls itself running seems dead, or return ""."""
    if progress.state == "done":
        return "it ended, and its last file is not there"
    if progress.host == socket.gethostname() and not psutil.pid_exists(progress.pid):
        return "its process is gone"
    age = time.time() - progress.updated
    return f"no sign of life for {duration(age)}" if age > STALE_AFTER else ""


def _row(job: Job) -> list[str]:
    p, colour = job.progress, COLOURS[job.state]
    left = job.seconds_left
    return [
        escape(job.name),
        f"[{colour}]{job.state}[/{colour}]",
        f"{p.step:,} of {p.steps:,}" if p else "",
        f"{p.images_per_second:,.0f}" if p and p.images_per_second else "",
        duration(left) if left is not None else "",
        str(p.restarts) if p and p.restarts else "",
        escape(job.message),
    ]


def _counts(group: Iterable[Job]) -> str:
    """Return "4: 3 done, 1 running"."""
    counts = Counter(job.state for job in group)
    parts = [f"{counts[state]:,} {state}" for state in reversed(COLOURS) if counts[state]]
    return f"{counts.total():,}: {', '.join(parts)}"
