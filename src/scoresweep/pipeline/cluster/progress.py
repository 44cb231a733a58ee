"""What every run and setting of a study is doing, from the files that its jobs leave."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from scoresweep.pipeline.cluster.squeue import QueuedJob
from scoresweep.pipeline.results import Result, Results, examine_results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import duration
from scoresweep.pipeline.system.job_state import JobState

__all__ = ["Job", "State", "collect_jobs"]

State = Literal["failed", "stale", "running", "queued", "sampled", "outdated", "waiting", "done"]
"""`stale`: was started and shows no sign of life; `queued`: waits for SLURM; `sampled`: a setting
to be evaluated; `outdated`: its result is there, and is made again by the next `snakemake`."""


FAILURES = ("Error: ", "Traceback ")
"""How a log tells that a command has failed."""

STALE_AFTER = 300.0
"""Seconds without a sign of life after which a running job is called stale."""


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


def collect_jobs(plan: Plan, results: Results | None = None) -> list[Job]:
    """Return all runs, then all settings of each, in the order of the plan, with their states.

    `results` are those of the plan (`examine_results`), if known.
    """
    results = results or examine_results(plan)
    found = [_run(plan, run.id, results) for run in plan.runs]
    for run in plan.runs:
        found.extend(_settings(plan, run.id, results))
    return found


def _run(plan: Plan, run: str, results: Results) -> Job:
    layout, network = plan.paths, results["train", run]
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
    layout = plan.paths
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
    reason = _stale_reason(progress)
    if not reason:
        return Job(run, setting, "running", progress.message, progress)
    message = f"{reason}; {progress.message}" if progress.message else reason
    return Job(run, setting, "stale", message, progress)


def _stale_reason(progress: JobState) -> str:
    """Say why a job that calls itself running seems dead, or return ""."""
    if progress.state == "done":
        return "it ended, and its last file is not there"
    if progress.host == socket.gethostname() and not psutil.pid_exists(progress.pid):
        return "its process is gone"
    age = time.time() - progress.updated
    return f"no sign of life for {duration(age)}" if age > STALE_AFTER else ""
