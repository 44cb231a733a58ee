"""Command `status`: print the state of each run and setting.

States come from the files that jobs write: finished jobs have a result, running and failed jobs a
progress file. This works on any machine that sees the files. On a SLURM cluster, one query of the
queue adds which jobs are queued, and which were killed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scoresweep.pipeline.cluster.job_table import STALE_AFTER, Job, State, begun_tasks, collect_jobs
from scoresweep.pipeline.cluster.squeue import QueuedJob, is_live
from scoresweep.pipeline.cluster.study_jobs import StudyJobs, count_by_rule, is_running, study_jobs
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.code_summary import count_codes, other_code_lines
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import duration

__all__ = ["status"]


COLOURS: dict[State, str] = {
    "failed": "red",
    "stale": "yellow",
    "running": "cyan",
    "queued": "magenta",
    "sampled": "blue",
    "outdated": "yellow",
    "waiting": "dim",
    "done": "green",
}
"""Colour of every state, the most urgent state first."""

NUMERIC = ["step", "images/s", "time left", "restarts"]
HEADINGS = ["run / setting", "state", "job", "nodes", *NUMERIC, "message"]
MAX_LOGS = 5
"""Number of logs to list."""


def status(plan: Plan, limit: int = 40, console: Console | None = None) -> list[Job]:
    """Print the state of all runs and of unfinished settings; return all jobs.

    The most urgent jobs are listed first, up to `limit` runs and as many settings. Below the table
    are the number of other SLURM jobs and the logs of failed jobs.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    results, queues = examine_results(plan), list[str]()
    jobs = collect_jobs(plan, results)
    try:
        if slurm := study_jobs(plan):
            queues = [f"on SLURM: {line}" for line in count_by_rule(slurm.rule_jobs())]
            jobs = [_on_slurm(job, slurm) for job in jobs]
    except RunError as error:
        queues = [f"{error}: states are from files only"]
    groups = {
        "runs": [job for job in jobs if job.setting is None],
        "settings": [job for job in jobs if job.setting is not None],
    }
    console.print(_table(plan, groups, limit))
    lines = [f"{kind}: {_counts(group)}" for kind, group in groups.items()]
    codes = [f"code: {line}" for line in other_code_lines(count_codes(results))]
    for line in [*lines, *queues, *_logs(plan, jobs), *codes]:
        console.print(line, markup=False, soft_wrap=True)
    return jobs


def _table(plan: Plan, groups: dict[str, list[Job]], limit: int) -> Table:
    """Return a table of the most urgent jobs of each group, without empty columns."""
    rows = []
    for kind, group in groups.items():
        listed = [job for job in group if kind == "runs" or job.state != "done"]
        listed.sort(key=lambda job: list(COLOURS).index(job.state))
        rows += [_row(job) for job in listed[:limit]]
        if len(listed) > limit:
            rows.append([f"and {len(listed) - limit:,} more {kind}", *[""] * (len(HEADINGS) - 1)])
    used = [index for index in range(len(HEADINGS)) if any(row[index] for row in rows)]
    table = Table(title=f"Study {plan.study.study}", title_justify="left")
    for index in used:
        right = HEADINGS[index] in NUMERIC
        table.add_column(HEADINGS[index], justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(row[index] for index in used))
    return table


def _on_slurm(job: Job, slurm: StudyJobs) -> Job:
    """Return `job` updated from SLURM, which knows queued and killed jobs."""
    if job.state in ("done", "sampled") or job.log:
        return job
    progress, record = job.progress, slurm.records.get(job.run) if job.setting is None else None
    ours = slurm.by_name(record.name) if record else None
    if ours and is_live(ours.state):
        return _live(job, ours)
    number = progress.job_id if progress else record.job_id if record else None
    reported_its_end = progress is not None and progress.state in ("failed", "stopped")
    if reported_its_end or not number:
        return job
    known = ours if record and record.job_id == number else slurm.by_id(number)
    if known and is_live(known.state):
        return _live(job, known)
    ended = f"SLURM job {number} " + (f"ended: {known.state}" if known else "is gone")
    said = progress.message if progress else ""
    return replace(job, state="stale", message=f"{ended}; {said}" if said else ended)


def _live(job: Job, slurm: QueuedJob) -> Job:
    """Return `job` as queued or running on SLURM, whatever an earlier start reported."""
    if not is_running(slurm):
        reason = slurm.state.lower() if slurm.reason in ("", "None") else slurm.reason
        return replace(job, state="queued", message=reason, slurm=slurm)
    said = job.progress
    if job.state == "stale" and said and time.time() - said.updated > STALE_AFTER:
        return replace(job, slurm=slurm)
    message = said.message if said else "starting"
    return replace(job, state="running", message=message, slurm=slurm)


def _logs(plan: Plan, jobs: Iterable[Job]) -> list[str]:
    """Return lines that name the logs of failed and stale jobs, then of running measurements."""
    urgent = [job for job in jobs if job.state in ("failed", "stale")]
    others = [job for job in jobs if job.log and job not in urgent]
    paths = dict.fromkeys(
        path for job in [*urgent, *others][:MAX_LOGS] if (path := _log(plan, job))
    )
    return [f"log: {path}" for path in paths if path.exists()]


def _log(plan: Plan, job: Job) -> Path | None:
    """Return the log of a job, if known."""
    if job.log or job.setting is None:
        return job.log or plan.paths.run(job.run) / "logs" / "latest.log"
    begun = begun_tasks(plan, job.run).get(job.setting)
    return begun.log if begun else None


def _row(job: Job) -> list[str]:
    p, slurm, colour = job.progress, job.slurm, COLOURS[job.state]
    left = job.seconds_left
    return [
        escape(job.name),
        f"[{colour}]{job.state}[/{colour}]",
        slurm.job_id if slurm else p.job_id if p else "",
        escape(slurm.nodes if slurm else p.nodes if p else ""),
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
