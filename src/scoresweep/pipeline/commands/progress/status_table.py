"""Print the state of each run and setting."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scoresweep.pipeline.cluster.job_table import Job, State
from scoresweep.pipeline.commands.progress.study_status import (
    RunningBatch,
    StudyStatus,
    read_status,
)
from scoresweep.pipeline.results.code_summary import count_codes, other_code_lines
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import duration

__all__ = [
    "count_lines",
    "print_status",
    "status",
    "status_lines",
    "status_table",
]


COLOURS: dict[State, str] = {
    "failed": "red",
    "stale": "yellow",
    "running": "cyan",
    "queued": "magenta",
    "sampled": "blue",
    "outdated": "yellow",
    "done": "green",
    "waiting": "dim",
}
"""Colour of every state, in the order of the list: the most urgent first, waiting jobs last."""

NUMERIC = ["progress", "images/s", "time left", "restarts"]
HEADINGS = ["run / setting", "state", "job", "nodes", *NUMERIC, "message"]

MAX_BATCHES = 8
"""Number of running batches to list."""


def status(plan: Plan, limit: int = 40, console: Console | None = None) -> list[Job]:
    """Print the state of all runs and settings; return all jobs.

    The most urgent jobs are listed first, up to `limit` runs and as many settings. Below the table
    are what is being drawn, the number of other SLURM jobs and the logs of failed jobs.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    found = read_status(plan)
    print_status(found, limit, console)
    return found.jobs


def print_status(found: StudyStatus, limit: int, console: Console) -> None:
    """Print a table of jobs, and the lines below it."""
    console.print(status_table(found, limit, limit))
    for line in status_lines(found):
        console.print(line, markup=False, soft_wrap=True)


def status_lines(found: StudyStatus) -> list[str]:
    """Return the lines below the table."""
    codes = [f"code: {line}" for line in other_code_lines(count_codes(found.results))]
    queues = [f"on SLURM: {line}" for line in found.slurm]
    logs = [f"log: {path}" for path in found.logs]
    return [*count_lines(found), *_batch_lines(found), *queues, *logs, *codes]


def count_lines(found: StudyStatus) -> list[str]:
    """Return "runs: 4: 3 done, 1 running", and the same of settings."""
    at_counts = " at each count" if found.plan.halving else ""
    return [f"runs: {_counts(found.runs)}", f"settings{at_counts}: {_counts(found.settings)}"]


def status_table(found: StudyStatus, runs: int, settings: int) -> Table:
    """Return a table of the most urgent `runs` and `settings`, without empty columns."""
    rows = []
    groups = (("runs", found.runs, runs), ("settings", found.settings, settings))
    for kind, group, limit in groups:
        listed = sorted(group, key=lambda job: list(COLOURS).index(job.state))
        rows += [_row(job, _count(found.plan, job)) for job in listed[:limit]]
        if len(listed) > limit:
            rows.append([f"and {len(listed) - limit:,} more {kind}", *[""] * (len(HEADINGS) - 1)])
    used = [index for index in range(len(HEADINGS)) if any(row[index] for row in rows)]
    table = Table(title=f"Study {found.plan.study.study}", title_justify="left")
    for index in used:
        right = HEADINGS[index] in NUMERIC
        table.add_column(HEADINGS[index], justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(row[index] for index in used))
    return table


def _batch_lines(found: StudyStatus) -> list[str]:
    """Return what each running batch works on."""
    lines = [_batch_line(batch, found.jobs) for batch in found.batches[:MAX_BATCHES]]
    more = len(found.batches) - len(lines)
    return lines + [f"now: {more:,} more batches"] * (more > 0)


def _batch_line(batch: RunningBatch, jobs: Iterable[Job]) -> str:
    state, task = batch.state, batch.state.current
    text = (
        f"now: {batch.run}, batch {batch.name}, task {state.step + 1:,} of {state.steps:,}: {task}"
    )
    for job in jobs:
        if (job.run, job.setting) != (batch.run, task):
            continue
        if job.state == "running" and job.progress:
            text += f", drawing: {_progress(job)}"
        elif job.message:
            text += f", {job.message}"
    return text


def _count(plan: Plan, job: Job) -> str:
    """Return " (500 samples)" with successive halving, which draws a setting at several counts."""
    if not plan.halving or job.setting is None:
        return ""
    return f" ({plan.setting(job.setting).sample.count:,} samples)"


def _row(job: Job, count: str) -> list[str]:
    p, slurm, colour = job.progress, job.slurm, COLOURS[job.state]
    left = job.seconds_left
    is_drawn = job.state == "running" and job.setting is not None
    return [
        escape(job.name + count),
        f"[{colour}]{job.state}[/{colour}]",
        slurm.job_id if slurm else p.job_id if p else "",
        escape(slurm.nodes if slurm else p.nodes if p else ""),
        _progress(job),
        f"{p.images_per_second:,.0f}" if p and p.images_per_second else "",
        duration(left) if left is not None else "",
        str(p.restarts) if p and p.restarts else "",
        escape(job.message or "drawing" * is_drawn),
    ]


def _progress(job: Job) -> str:
    """Return "3 of 8 chunks", or "" if the job has no progress file."""
    p = job.progress
    return f"{p.step:,} of {p.steps:,} {job.unit}" if p else ""


def _counts(group: Iterable[Job]) -> str:
    """Return "4: 3 done, 1 running"."""
    counts = Counter(job.state for job in group)
    states: list[State] = ["done", *(each for each in reversed(COLOURS) if each != "done")]
    parts = [f"{counts[state]:,} {state}" for state in states if counts[state]]
    return f"{counts.total():,}: {', '.join(parts)}"
