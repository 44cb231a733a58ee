"""The state of a study at one moment, for `scoresweep status`.

States come from the files that jobs write: finished jobs have a result, running and failed jobs a
progress file. This works on any machine that sees the files. On a SLURM cluster, one query of the
queue adds which jobs are queued, and which were killed.
"""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from scoresweep.pipeline.cluster.job_table import (
    STALE_AFTER,
    BegunTasks,
    Job,
    begun_tasks,
    collect_jobs,
)
from scoresweep.pipeline.cluster.squeue import QueuedJob, is_live
from scoresweep.pipeline.cluster.study_jobs import StudyJobs, count_by_rule, is_running, study_jobs
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results import Results, examine_results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import SECONDS_PER_DAY
from scoresweep.pipeline.system.batch_state import BatchState

__all__ = ["RunningBatch", "StudyStatus", "check_is_here", "read_status"]

MAX_LOGS = 5
"""Number of logs to list."""


class RunningBatch(NamedTuple):
    """A batch of settings that a job is working on."""

    run: str
    name: str
    state: BatchState


@dataclass(frozen=True)
class StudyStatus:
    """The state of a study at one moment."""

    plan: Plan
    results: Results
    jobs: list[Job]
    """All runs, then all settings of each run."""
    batches: list[RunningBatch]
    slurm: list[str]
    """Numbers of other SLURM jobs by rule, or why they are not known."""
    logs: list[Path]
    """Logs of failed and stale jobs, then of running measurements."""

    @property
    def runs(self) -> list[Job]:
        """The runs."""
        return [job for job in self.jobs if job.setting is None]

    @property
    def settings(self) -> list[Job]:
        """The settings of each run."""
        return [job for job in self.jobs if job.setting is not None]

    @property
    def is_done(self) -> bool:
        """Whether the next `snakemake` has nothing to do."""
        return not self.results.due


def check_is_here(plan: Plan, study: Path) -> None:
    """Raise `InputError` if nothing of the study in the file `study` is below its root."""
    paths = plan.paths
    staged = (
        path(dataset.id).exists()
        for dataset in plan.study.dataset
        for path in (paths.dataset_manifest, paths.staging_lock)
    )
    if not paths.results.is_dir() and not any(staged):
        raise InputError(
            f"{paths.root.resolve()}: there is no study {plan.study.study} here: {paths.results} "
            f"does not exist. Run this command in the folder where `snakemake` ran, or name that "
            f"folder: --root FOLDER. If the study was never started: `snakemake --cores 2 "
            f"--configfile {shlex.quote(str(study))}`"
        )


def read_status(plan: Plan) -> StudyStatus:
    """Return the state of a study now."""
    results, queues, slurm = examine_results(plan), list[str](), None
    begun = {run.id: begun_tasks(plan, run.id) for run in plan.runs}
    jobs = collect_jobs(plan, results, begun)
    try:
        if slurm := study_jobs(plan):
            queues = count_by_rule(slurm.rule_jobs())
            jobs = [_on_slurm(job, slurm) for job in jobs]
    except RunError as error:
        queues = [f"{error}: states are from files only"]
    batches = [*_running_batches(begun, slurm)]
    return StudyStatus(plan, results, jobs, batches, queues, _logs(plan, jobs, begun))


def _running_batches(
    begun: Mapping[str, BegunTasks], slurm: StudyJobs | None
) -> Iterator[RunningBatch]:
    """Yield the batches whose process may be running."""
    for run, tasks in begun.items():
        for name, state in {task.name: task.batch for task in tasks.values()}.items():
            if state.state == "running" and not state.has_ended and _may_run(state, slurm):
                yield RunningBatch(run, name, state)


def _may_run(state: BatchState, slurm: StudyJobs | None) -> bool:
    """Return whether a batch on another host may be running.

    Its file changes with each task only, which may take hours.
    """
    if slurm and state.job_id:
        known = slurm.by_id(state.job_id)
        return known is not None and is_live(known.state)
    return state.host == socket.gethostname() or time.time() - state.updated < SECONDS_PER_DAY


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


def _logs(plan: Plan, jobs: Iterable[Job], begun: Mapping[str, BegunTasks]) -> list[Path]:
    """Return the logs of failed and stale jobs, then of running measurements."""
    urgent = [job for job in jobs if job.state in ("failed", "stale")]
    others = [job for job in jobs if job.log and job not in urgent]
    paths = dict.fromkeys(
        path for job in [*urgent, *others][:MAX_LOGS] if (path := _log(plan, job, begun))
    )
    return [path for path in paths if path.exists()]


def _log(plan: Plan, job: Job, begun: Mapping[str, BegunTasks]) -> Path | None:
    """Return the log of a job, if known."""
    if job.log or job.setting is None:
        return job.log or plan.paths.run(job.run) / "logs" / "latest.log"
    task = begun[job.run].get(job.setting)
    return task.log if task else None
