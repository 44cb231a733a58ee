"""What every run and setting of a study is doing, from the files that the jobs leave behind.

A job that is done has left its last file, one that runs or has failed says so in its progress file.
So it works on any machine that sees the files, while the workflow runs and after it. Where the
study uses SLURM, one question to it tells what files cannot: what waits in the queue, and what was
ended before it could say so.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scoresweep.pipeline.cluster.progress import STALE_AFTER, Job, State, collect_jobs
from scoresweep.pipeline.cluster.squeue import QueuedJob, is_live
from scoresweep.pipeline.cluster.study_jobs import StudyJobs, count_by_rule, is_running, study_jobs
from scoresweep.pipeline.errors import RunError
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
"""Every state, the ones that want attention first."""

HEADINGS = ["run / setting", "state", "job", "nodes", "step", "images/s", "time left", "restarts"]
HEADINGS += ["message"]
LOGS = 5
"""Most logs that are named."""


def status(plan: Plan, limit: int = 40, console: Console | None = None) -> list[Job]:
    """Print a table of the study's runs and of the settings that are not done; return all of them.

    Those that want attention come first; at most `limit` of each kind are listed, the rest counted.
    Below stand the numbers of other jobs that SLURM has, and the logs of what did not go well.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    try:
        slurm = study_jobs(plan)
        queues = [f"on SLURM: {line}" for line in count_by_rule(slurm.rule_jobs())] if slurm else []
    except RunError as error:
        slurm, queues = None, [f"{error}: this is what the files say"]
    found = (
        collect_jobs(plan)
        if slurm is None
        else [_on_slurm(job, slurm) for job in collect_jobs(plan)]
    )
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
    lines = [f"{kind}: {_counts(group)}" for kind, group in groups.items()]
    codes = [f"code: {line}" for line in other_code_lines(count_codes(plan))]
    for line in [*lines, *queues, *_logs(plan, found), *codes]:
        console.print(line, markup=False, soft_wrap=True)
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


def _on_slurm(job: Job, slurm: StudyJobs) -> Job:
    """Return `job` with what SLURM knows better: its queue, and which of its jobs have ended."""
    if job.state in ("done", "sampled") or job.log:
        return job
    progress, record = job.progress, slurm.records.get(job.run) if job.setting is None else None
    ours = slurm.by_name(record.name) if record else None
    if ours and is_live(ours.state):
        return _live(job, ours)
    number = progress.job_id if progress else record.job_id if record else None
    said_its_end = progress is not None and progress.state in ("failed", "stopped")
    if said_its_end or not number:
        return job
    known = ours if record and record.job_id == number else slurm.by_id(number)
    if known and is_live(known.state):
        return _live(job, known)
    ended = f"SLURM job {number} " + (f"ended: {known.state}" if known else "is gone")
    said = progress.message if progress else ""
    return replace(job, state="stale", message=f"{ended}; {said}" if said else ended)


def _live(job: Job, slurm: QueuedJob) -> Job:
    """Return `job` as one that SLURM runs or is going to run, whatever an earlier start said."""
    if not is_running(slurm):
        reason = slurm.state.lower() if slurm.reason in ("", "None") else slurm.reason
        return replace(job, state="queued", message=reason, slurm=slurm)
    said = job.progress
    if job.state == "stale" and said and time.time() - said.updated > STALE_AFTER:
        return replace(job, slurm=slurm)
    message = said.message if said else "starting"
    return replace(job, state="running", message=message, slurm=slurm)


def _logs(plan: Plan, found: Iterable[Job]) -> list[str]:
    """Name the logs of jobs that have failed or show no sign of life, then of measurements."""
    folder, urgent, others = plan.paths.results / "logs" / "sample", [], []
    for job in found:
        if job.state in ("failed", "stale"):
            run = plan.paths.run(job.run) / "logs" / "latest.log"
            log = run if job.setting is None else folder / job.run / f"{job.setting}.log"
            urgent.append(job.log or log)
        elif job.log:
            others.append(job.log)
    there = [path for path in [*urgent, *others][:LOGS] if path.exists()]
    return [f"log: {path}" for path in there]


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
