"""State of every run and setting of a study, from the files of its jobs."""

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
"""`stale`: started, but shows no activity; `queued`: waits in SLURM's queue; `sampled`: not yet
evaluated; `outdated`: the next `snakemake` replaces its result."""


FAILURES = ("Error: ", "Traceback ")
"""Beginnings of log lines that report a failure."""

STALE_AFTER = 300.0
"""Seconds without activity after which a running job is stale."""


@dataclass(frozen=True)
class Job:
    """A run (`setting` is None) or a setting applied to a run."""

    run: str
    setting: str | None
    state: State
    message: str = ""
    progress: JobState | None = None
    """The last progress that the job wrote."""
    slurm: QueuedJob | None = None
    """The SLURM job, if queued or running."""
    log: Path | None = None
    """Log of the evaluation that has started or failed."""

    @property
    def name(self) -> str:
        """Run id, or run id and setting id."""
        return self.run if self.setting is None else f"{self.run} / {self.setting}"

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until a running job is done; None if unknown."""
        p = self.progress
        if self.state != "running" or p is None or not p.step:
            return None
        return p.seconds / p.step * (p.steps - p.step)


def collect_jobs(plan: Plan, results: Results | None = None) -> list[Job]:
    """Return all runs, then all settings of each run, in the order of the plan.

    `results` are those of the plan (`examine_results`), if known.
    """
    results = results or examine_results(plan)
    jobs = [_run(plan, run.id, results) for run in plan.runs]
    for run in plan.runs:
        jobs.extend(_settings(plan, run.id, results))
    return jobs


def _run(plan: Plan, run: str, results: Results) -> Job:
    paths, network = plan.paths, results["train", run]
    if network.is_due:
        return _mark_outdated(_unfinished(run, None, paths.progress(run)), network)
    progress = JobState.read(paths.progress(run))
    done = Job(run, None, "done", progress.message if progress else "", progress)
    if not plan.measures_score_error or not results["score_error", run].is_due:
        return done
    log = paths.results / "logs" / "score_error" / f"{run}.log"
    job = _add_evaluation_log(done, "score error", log, paths.weights(run))
    error = results["score_error", run]
    if job is not done or error.state == "missing":
        return job
    return replace(done, message=f"score error: outdated: {error.reason}")


def _mark_outdated(job: Job, result: Result) -> Job:
    """Return `job` as outdated if it has a result and is neither running nor failed."""
    if result.state == "missing" or job.state in ("failed", "running"):
        return job
    if job.state == "stale" and job.progress and job.progress.state != "done":
        return job
    return replace(job, state="outdated", message=result.reason)


def _add_evaluation_log(job: Job, what: str, log: Path, evaluated: Path) -> Job:
    """Return `job` with the state of its evaluation, from a log newer than the file `evaluated`.

    An evaluation writes no other file until it is done.
    """
    try:
        if log.stat().st_mtime_ns < evaluated.stat().st_mtime_ns:
            return job
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return job
    if not any(line.startswith(FAILURES) for line in lines):
        return replace(job, message=f"{what}: started", log=log)
    error = next((line for line in lines if line.startswith(FAILURES[0])), lines[-1])
    return replace(job, state="failed", message=f"{what}: {error}", log=log)


def _settings(plan: Plan, run: str, results: Results) -> Iterator[Job]:
    paths = plan.paths
    logs = paths.results / "logs" / "evaluate" / run
    evaluation_logs = _file_names(logs)
    sample_files = _file_names(paths.results / "samples" / run)
    for setting in results.settings[run]:
        samples = results["sample", run, setting.id]
        metrics = results["evaluate", run, setting.id]
        progress = paths.samples_progress(run, setting.store)
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
                _add_evaluation_log(job, "evaluation", logs / log, samples.output)
                if log in evaluation_logs
                else job
            )
        elif progress.name in sample_files:
            yield _mark_outdated(_unfinished(run, setting.id, progress), samples)
        else:
            yield _mark_outdated(Job(run, setting.id, "waiting"), samples)


def _file_names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _unfinished(run: str, setting: str | None, path: Path) -> Job:
    """Return the state of a job without a result, from its progress file `path`."""
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
    """Return why a job that claims to be running looks stale, or ""."""
    if progress.state == "done":
        return "it ended without its result"
    if progress.host == socket.gethostname() and not psutil.pid_exists(progress.pid):
        return "its process is gone"
    age = time.time() - progress.updated
    return f"no activity for {duration(age)}" if age > STALE_AFTER else ""
