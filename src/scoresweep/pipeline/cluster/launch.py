"""Start a job, wait for it, and start it again if it was lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scoresweep.pipeline.cluster.environment import (
    check_clusters,
    check_paths,
    ignore_local_modules,
    remove_slurm_variables,
)
from scoresweep.pipeline.cluster.job_outcome import JobFailure, job_failure
from scoresweep.pipeline.cluster.local_job import LocalJob
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.cluster.slurm_job import SlurmJob, reattach, submit
from scoresweep.pipeline.cluster.squeue import REMEDIES
from scoresweep.pipeline.cluster.task import Task
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.memory_errors import describe_exit

__all__ = ["launch"]

ATTEMPTS_WITHOUT_PROGRESS = 3


def launch(
    function: Callable[..., Any],
    *arguments: Any,
    resources: Resources,
    logs: Path,
    title: str = "scoresweep",
    record: Path | None = None,
    watch: Callable[[], None] = lambda: None,
    progress: Callable[[], int] = lambda: 0,
) -> None:
    """Run `function(*arguments)` in every process of `resources` and wait for all of them.

    `function` must be importable by name and resume from where an earlier call stopped. `logs` is
    the folder of the processes' logs, `title` the readable part of a SLURM job's name, `record` the
    `JobRecord` of this work: if it names a job that is queued or running, this waits for that job.
    `watch` is called repeatedly meanwhile.

    Starts a lost job (a process was killed, a node died) again if `progress()` has grown, and
    gives up after three attempts without progress. Raises the `ScoresweepError` that the function
    raised. Any other exception may be a transient fault of a machine: it becomes a `RunError` with
    the end of the log only if there was no progress.
    """
    _prepare(resources, logs)
    task = Task(function, arguments, resources.threads)
    record = record or logs / "job.json"
    attempts, reached = 0, progress()
    job = _existing_job(record, logs, resources, task)
    while True:
        job = job or _start(task, resources, logs, title, record)
        state = job.wait(watch)
        watch()
        failure = job_failure(logs, job.job_id, job.tasks)
        if failure is None:
            return
        now = progress()
        if failure.crashed and now <= reached:
            raise RunError(failure.message)
        attempts, reached = (1, now) if now > reached else (attempts + 1, reached)
        cause = _describe(failure, state)
        if attempts == ATTEMPTS_WITHOUT_PROGRESS:
            raise RunError(
                f"{job.name} ({state}) failed {attempts} times without progress. {cause}"
            )
        say(f"{job.name} was lost ({state}); starting again. {cause}")
        job = None


def _prepare(resources: Resources, logs: Path) -> None:
    """Check that jobs can run, and remove what would disturb them from the environment."""
    on_slurm = resources.cluster == "slurm"
    if on_slurm and shutil.which("srun") is None:
        raise InputError("cluster: slurm: this machine has no `srun`; expected local")
    check_paths(logs, resources.cluster)
    ignore_local_modules()
    if on_slurm:
        check_clusters()
        remove_slurm_variables()


def _describe(failure: JobFailure, state: str) -> str:
    """Return the reason for a failure, after what to do about it, if that is known."""
    if state in REMEDIES:
        return f"{REMEDIES[state]}. {failure.message}"
    if failure.killed and state in ("ended", "FAILED"):
        return f"{describe_exit('train')} {failure.message}"
    return failure.message


def _existing_job(
    record: Path, logs: Path, resources: Resources, task: Task
) -> LocalJob | SlurmJob | None:
    """Return the SLURM job that does this work already; raise if `resources` are local."""
    job = reattach(record, logs, task) if record.exists() else None
    if job is None:
        return None
    if resources.cluster == "local":
        raise InputError(
            f"{job.name} ({job.record.name}) does this work already; wait for it, or stop it with "
            f"`scoresweep cancel` and the study file"
        )
    say(f"{job.name} does this work already; waiting for it")
    return job


def _start(
    task: Task, resources: Resources, logs: Path, title: str, record: Path
) -> LocalJob | SlurmJob:
    for result in logs.glob("*_result.pkl"):
        result.unlink()  # of earlier jobs, whose ids may be reused
    if resources.cluster == "local":
        return LocalJob(task, resources, logs)
    job = submit(task, resources, logs, title, record)
    nodes = f"{resources.nodes} node{'s' if resources.nodes > 1 else ''}"
    say(f"{job.name} submitted: {nodes} x {resources.processes} processes")
    return job
