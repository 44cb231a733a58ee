"""State of every run and setting of a study, from the files of its jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from scoresweep.pipeline.cluster.squeue import QueuedJob
from scoresweep.pipeline.results import Result, Results, examine_results
from scoresweep.pipeline.results.result import score_error_key
from scoresweep.pipeline.results.states import list_names
from scoresweep.pipeline.study import Plan, Run
from scoresweep.pipeline.study.batches import score_error_task
from scoresweep.pipeline.system.batch_state import BatchState
from scoresweep.pipeline.system.console import duration
from scoresweep.pipeline.system.job_state import JobState

__all__ = ["BegunTask", "BegunTasks", "Job", "State", "begun_tasks", "collect_jobs"]

State = Literal["failed", "stale", "running", "queued", "sampled", "outdated", "waiting", "done"]
"""`stale`: started, but shows no activity; `queued`: waits in SLURM's queue; `sampled`: not yet
evaluated; `outdated`: the next `snakemake` replaces its result."""


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
    """Log of the measurement that has started or failed."""
    held: int = 0
    """Samples in a store that has to grow."""

    @property
    def name(self) -> str:
        """Run id, or run id and setting id."""
        return self.run if self.setting is None else f"{self.run} / {self.setting}"

    @property
    def unit(self) -> Literal["steps", "chunks"]:
        """What the job counts: training steps, or chunks of samples."""
        return "steps" if self.setting is None else "chunks"

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until a running job is done; None if unknown."""
        p = self.progress
        if self.state != "running" or p is None or not p.step:
            return None
        return p.seconds / p.step * (p.steps - p.step)


def collect_jobs(
    plan: Plan, results: Results | None = None, begun: Mapping[str, BegunTasks] | None = None
) -> list[Job]:
    """Return all runs, then all settings of each run, in the order of the plan.

    `results` are those of the plan (`examine_results`) and `begun` the tasks that its runs have
    begun (`begun_tasks`), if known.
    """
    results = results or examine_results(plan)
    begun = begun or {run.id: begun_tasks(plan, run.id) for run in plan.runs}
    jobs = [_run(plan, run, results, begun[run.id]) for run in plan.runs]
    for run in plan.runs:
        jobs.extend(_settings(plan, run.id, results, begun[run.id]))
    return jobs


class BegunTask(NamedTuple):
    """A task of a run that a batch has begun."""

    name: str
    """Name of the batch."""
    batch: BatchState
    log: Path
    """Log of the job of the batch."""


BegunTasks = Mapping[str, BegunTask]
"""The last batch that began each task of a run, by task."""


def begun_tasks(plan: Plan, run: str) -> BegunTasks:
    """Return the last batch that began each task of a run."""
    begun = []
    for path in plan.paths.batches(run).glob("*.progress.json"):
        if state := BatchState.read(path):
            name = path.name.removesuffix(".progress.json")
            begun.append(BegunTask(name, state, plan.paths.batch_log(run, name)))
    begun.sort(key=lambda task: task.batch.updated)
    return {name: task for task in begun for name in task.batch.tasks}


def _run(plan: Plan, run: Run, results: Results, begun: BegunTasks) -> Job:
    paths, network = plan.paths, results["train", run.id]
    if network.is_due:
        return _mark_outdated(_unfinished(run.id, None, paths.progress(run.id)), network)
    progress = JobState.read(paths.progress(run.id))
    done = Job(run.id, None, "done", progress.message if progress else "", progress)
    for name in plan.measured_weights(run):
        error, task = results[score_error_key(run.id, name)], score_error_task(name)
        if not error.is_due:
            continue
        job = _add_measurement(done, "score error", task, begun.get(task), paths.weights(run.id))
        if job is not done:
            return job
        if error.state != "missing":
            return replace(done, message=f"score error: outdated: {error.reason}")
    return done


def _mark_outdated(job: Job, result: Result) -> Job:
    """Return `job` as outdated if it has a result and is neither running nor failed."""
    if result.state == "missing" or job.state in ("failed", "running"):
        return job
    if job.state == "stale" and job.progress and job.progress.state != "done":
        return job
    return replace(job, state="outdated", message=result.reason)


def _add_measurement(job: Job, what: str, name: str, task: BegunTask | None, measured: Path) -> Job:
    """Return `job` with the state of its measurement, if a batch began it later than `measured`.

    `name` is that of the task. A measurement writes no other file until it is done.
    """
    if task is None or task.batch.updated < measured.stat().st_mtime:
        return job
    if name in task.batch.failed:
        message = f"{what}: {task.batch.failed[name]}"
        return replace(job, state="failed", message=message, log=task.log)
    if task.batch.current == name and not task.batch.has_ended:
        return replace(job, message=f"{what}: started", log=task.log)
    return job


def _settings(plan: Plan, run: str, results: Results, begun: BegunTasks) -> Iterator[Job]:
    paths = plan.paths
    sample_files = list_names(paths.results / "samples" / run)
    for setting in results.settings[run]:
        samples = results["sample", run, setting.id]
        metrics = results["evaluate", run, setting.id]
        if not metrics.is_due:
            yield Job(run, setting.id, "done")
            continue
        progress = paths.samples_progress(run, setting.store)
        if metrics.is_damaged:
            message = f"{metrics.reason}; run the workflow again"
            yield Job(run, setting.id, "failed", message)
        elif not samples.is_due:
            message, latest = "not evaluated yet", samples.output
            if metrics.state != "missing":
                message, latest = f"outdated: {metrics.reason}", metrics.output
            job = Job(run, setting.id, "sampled", message)
            task = begun.get(setting.id)
            yield _add_measurement(job, "evaluation", setting.id, task, latest)
        elif progress.name in sample_files:
            job = _mark_outdated(_unfinished(run, setting.id, progress), samples)
            yield _growing(job, samples)
        elif (task := begun.get(setting.id)) and setting.id in task.batch.failed:
            job = Job(run, setting.id, "failed", task.batch.failed[setting.id], log=task.log)
            yield _mark_outdated(job, samples)
        else:
            yield _growing(_mark_outdated(Job(run, setting.id, "waiting"), samples), samples)


def _growing(job: Job, samples: Result) -> Job:
    """Return `job` with the number of samples that its store holds, if that has to grow.

    The progress of the job that drew these does not count.
    """
    if samples.held and (job.progress is None or job.progress.state == "done"):
        return Job(job.run, job.setting, "waiting", samples.reason, held=samples.held)
    return replace(job, held=samples.held)


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
    if progress.has_ended:
        return "its process is gone"
    age = time.time() - progress.updated
    return f"no activity for {duration(age)}" if age > STALE_AFTER else ""
