"""What every run and setting of a study is doing, from the files that the jobs leave behind.

A job that is done has left its last file, one that runs or has failed says so in its progress file.
So it works on any machine that sees the files, while the workflow runs and after it. Where the
study uses SLURM, one question to it tells what files cannot: what waits in the queue, and what was
ended before it could say so.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scoresweep.errors import RunError
from scoresweep.jobstate import JobState
from scoresweep.launch.slurm import QueuedJob, is_live
from scoresweep.pipeline.code_of_results import code_lines, codes_of_results
from scoresweep.pipeline.results import Result, Results, examine
from scoresweep.pipeline.slurm_jobs import StudyJobs, count_by_rule, is_running, study_jobs
from scoresweep.study import Plan

__all__ = ["Job", "State", "duration", "jobs", "status"]

State = Literal["failed", "stale", "running", "queued", "sampled", "outdated", "waiting", "done"]
"""`stale`: was started and shows no sign of life; `queued`: waits for SLURM; `sampled`: a setting
to be evaluated; `outdated`: its result is there, and is made again by the next `snakemake`."""

STALE_AFTER = 300.0
"""Seconds without a sign of life after which a running job is called stale."""

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
FAILURES = ("Error: ", "Traceback ")
"""How a log tells that a command has failed."""
LOGS = 5
"""Most logs that are named."""


@dataclass(frozen=True)
class Job:
    """A run (`setting` is None) or a setting applied to a run."""

    run: str
    setting: str | None
    state: State
    message: str = ""
    progress: JobState | None = None
    """What the job last said."""
    slurm: QueuedJob | None = None
    """What SLURM says, where the job waits or runs there."""
    log: Path | None = None
    """Of the measurement that has begun, or failed."""

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


def jobs(plan: Plan, results: Results | None = None) -> list[Job]:
    """Return all runs, then all settings of each, in the order of the plan, with their states.

    `results` are those of the plan (`examine`), if known.
    """
    results = results or examine(plan)
    found = [_run(plan, run.id, results) for run in plan.runs]
    for run in plan.runs:
        found.extend(_settings(plan, run.id, results))
    return found


def status(plan: Plan, limit: int = 40, console: Console | None = None) -> list[Job]:
    """Print a table of the study's runs and of the settings that are not done; return all of them.

    Those that want attention come first; at most `limit` of each kind are listed, the rest counted.
    Below stand the numbers of other jobs that SLURM has, and the logs of what did not go well.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    try:
        slurm = study_jobs(plan)
        queues = [f"on SLURM: {line}" for line in count_by_rule(slurm.of_rules())] if slurm else []
    except RunError as error:
        slurm, queues = None, [f"{error}: this is what the files say"]
    found = jobs(plan) if slurm is None else [_on_slurm(job, slurm) for job in jobs(plan)]
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
    codes = [f"code: {line}" for line in code_lines(codes_of_results(plan))]
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


def _run(plan: Plan, run: str, results: Results) -> Job:
    layout, network = plan.layout, results["train", run]
    if network.is_due:
        return _replaced(_at_work(run, None, layout.progress(run)), network)
    progress = JobState.read(layout.progress(run))
    done = Job(run, None, "done", progress.message if progress else "", progress)
    if not plan.measures_score_error or not results["score_error", run].is_due:
        return done
    log = layout.results / "logs" / "score_error" / f"{run}.log"
    job = _measured(done, "score error", log, layout.weights(run))
    error = results["score_error", run]
    if job is not done or error.state == "missing":
        return job
    return replace(done, message=f"score error: outdated: {error.reason}")


def _replaced(job: Job, result: Result) -> Job:
    """Return `job`, whose result is there if it is outdated, or made from what is."""
    if result.state == "missing" or job.state in ("failed", "running"):
        return job
    if job.state == "stale" and job.progress and job.progress.state != "done":
        return job
    return replace(job, state="outdated", message=result.reason)


def _measured(job: Job, what: str, log: Path, measured: Path) -> Job:
    """Return `job`, of which something is not measured yet, with what a newer log says of that.

    A measurement leaves no other trace until it is done.
    """
    try:
        if log.stat().st_mtime_ns < measured.stat().st_mtime_ns:
            return job
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return job
    if not any(line.startswith(FAILURES) for line in lines):
        return replace(job, message=f"{what}: has begun", log=log)
    said = next((line for line in lines if line.startswith(FAILURES[0])), lines[-1])
    return replace(job, state="failed", message=f"{what}: {said}", log=log)


def _settings(plan: Plan, run: str, results: Results) -> Iterator[Job]:
    layout = plan.layout
    logs = layout.results / "logs" / "evaluate" / run
    evaluated = _names(logs)
    at_work = _names(layout.results / "samples" / run)
    for setting in plan.settings:
        samples = results["sample", run, setting.id]
        metrics = results["evaluate", run, setting.id]
        progress = layout.samples_progress(run, setting.id)
        if not metrics.is_due:
            yield Job(run, setting.id, "done")
        elif metrics.is_damaged:
            message = f"{metrics.reason}; run the workflow again"
            yield Job(run, setting.id, "failed", message)
        elif not samples.is_due:
            if metrics.state != "missing":
                yield Job(run, setting.id, "sampled", f"outdated: {metrics.reason}")
                continue
            job, log = Job(run, setting.id, "sampled", "not evaluated yet"), f"{setting.id}.log"
            yield (
                _measured(job, "evaluation", logs / log, samples.output)
                if log in evaluated
                else job
            )
        elif progress.name in at_work:
            yield _replaced(_at_work(run, setting.id, progress), samples)
        else:
            yield _replaced(Job(run, setting.id, "waiting"), samples)


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _at_work(run: str, setting: str | None, path: Path) -> Job:
    """Return a job that has not left its last file; `path` is its progress file."""
    progress = JobState.read(path)
    if progress is None:
        return Job(run, setting, "waiting")
    if progress.state == "stopped":
        return Job(run, setting, "waiting", progress.message, progress)
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


def _on_slurm(job: Job, slurm: StudyJobs) -> Job:
    """Return `job` with what SLURM knows better: its queue, and which of its jobs have ended."""
    if job.state in ("done", "sampled") or job.log:
        return job
    progress, record = job.progress, slurm.records.get(job.run) if job.setting is None else None
    ours = slurm.named(record.name) if record else None
    if ours and is_live(ours.state):
        return _live(job, ours)
    number = progress.job_id if progress else record.job_id if record else None
    said_its_end = progress is not None and progress.state in ("failed", "stopped")
    if said_its_end or not number:
        return job
    known = ours if record and record.job_id == number else slurm.numbered(number)
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
    folder, urgent, others = plan.layout.results / "logs" / "sample", [], []
    for job in found:
        if job.state in ("failed", "stale"):
            run = plan.layout.run(job.run) / "logs" / "latest.log"
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
