"""Start work, wait for it, and start it again when a machine has failed it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scoresweep.pipeline.cluster.environment import (
    check_clusters,
    check_paths,
    ignore_modules_here,
    remove_slurm_variables,
)
from scoresweep.pipeline.cluster.job_outcome import job_failure
from scoresweep.pipeline.cluster.local_job import LocalJob
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.cluster.slurm_job import SlurmJob, reattach, submit
from scoresweep.pipeline.cluster.squeue import REMEDIES
from scoresweep.pipeline.cluster.task import Task
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.memory_errors import describe_exit

__all__ = ["launch"]

TRIES_WITHOUT_PROGRESS = 3


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

    `function` must be importable by name and go on from where an earlier start of it came to.
    `logs` is the folder of the processes' logs, `title` the readable part of a SLURM job's name,
    `record` the file that tells which SLURM job does this work: one that still runs is waited for
    instead of starting a second one. `watch` is called again and again meanwhile.

    Work that was lost (a process was killed, a node died) is started again as long as `progress`
    (any number that grows) has grown; three tries without are the end. Raises what the work raised
    where that is a `ScoresweepError`. Any other exception may be a passing fault of a machine: it
    is a `RunError` with the end of the log unless there was progress.
    """
    if resources.cluster == "slurm" and shutil.which("srun") is None:
        raise InputError("cluster: slurm: this machine has no `srun`; expected local")
    check_paths(logs, resources.cluster)
    ignore_modules_here()
    if resources.cluster == "slurm":
        check_clusters()
        remove_slurm_variables()
    task = Task(function, arguments, resources.threads)
    record = record or logs / "job.json"
    tries, reached = 0, progress()
    job = _found(record, logs, resources, task)
    while True:
        job = job or _started(task, resources, logs, title, record)
        state = job.wait(watch)
        watch()
        loss = job_failure(logs, job.job_id, job.tasks)
        if loss is None:
            return
        now = progress()
        if loss.crashed and now <= reached:
            raise RunError(loss.message)
        tries, reached = (1, now) if now > reached else (tries + 1, reached)
        known = loss.message
        if state in REMEDIES:
            known = f"{REMEDIES[state]}. {known}"
        elif loss.killed and state in ("ended", "FAILED"):
            known = f"{describe_exit('train')} {known}"
        if tries == TRIES_WITHOUT_PROGRESS:
            raise RunError(f"{job.name} ({state}) was lost {tries} times at one point. {known}")
        say(f"{job.name} was lost ({state}); starting again. {known}")
        job = None


def _found(
    record: Path, logs: Path, resources: Resources, task: Task
) -> LocalJob | SlurmJob | None:
    """Return the SLURM job that does the work already; raise if it is in the way of a local one."""
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


def _started(
    task: Task, resources: Resources, logs: Path, title: str, record: Path
) -> LocalJob | SlurmJob:
    for result in logs.glob("*_result.pkl"):
        result.unlink()  # of earlier jobs, whose numbers may come again
    if resources.cluster == "local":
        return LocalJob(task, resources, logs)
    job = submit(task, resources, logs, title, record)
    nodes = f"{resources.nodes} node{'s' if resources.nodes > 1 else ''}"
    say(f"{job.name} submitted: {nodes} x {resources.processes} processes")
    return job
