"""Command `cancel`: cancel the SLURM jobs of one study and no others."""

from __future__ import annotations

import time

from scoresweep.pipeline.cluster import squeue
from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.study_jobs import (
    StudyJobs,
    count_by_rule,
    study_jobs,
)
from scoresweep.pipeline.cluster.workflow_head import WorkflowHead
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import say

__all__ = ["cancel"]

POLL_SECONDS = 2.0
TIMEOUT_SECONDS = 600.0
"""Time given to `snakemake` to exit, which it does when it next polls its jobs."""


def cancel(plan: Plan) -> None:
    """Cancel all queued and running SLURM jobs of the study, and print them.

    A `snakemake` that waits for these jobs would see them fail and resubmit them, so it is
    interrupted first, as by Ctrl-C.

    Raises:
        InputError: if this `snakemake` runs on another machine or belongs to another user.
        RunError: if SLURM does not answer, or `snakemake` does not exit.
    """
    try:
        found = study_jobs(plan) or StudyJobs()
    except RunError as error:
        raise RunError(f"{error}; nothing was cancelled") from None
    heads = [head for head in found.heads if not head.has_ended]
    _interrupt(heads)
    cancelled = _cancel(plan, found, set())
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while left := [head for head in heads if not head.has_ended]:
        if time.monotonic() > deadline:
            raise RunError(
                f"{_name(left[0])} does not end: `kill -9 {left[0].pid}`, then cancel again"
            )
        time.sleep(POLL_SECONDS)
        cancelled |= _cancel(plan, study_jobs(plan) or found, cancelled)
    for head in heads:
        say(f"ended: {_name(head)}")
    if heads:  # jobs submitted in the meantime
        cancelled |= _cancel(plan, study_jobs(plan) or found, cancelled)
    if not cancelled:
        say(f"no SLURM job of the study {plan.study.study} is queued or running")


def _interrupt(heads: list[WorkflowHead]) -> None:
    """Interrupt each of `heads`; raise `InputError` if one of them cannot be interrupted."""
    for head in heads:
        if not head.is_here:
            raise InputError(
                f"{_name(head)} runs this study on {head.host} and would resubmit cancelled jobs, "
                f"so nothing was cancelled. Run this command on {head.host}; or, if that process "
                f"was killed, run `snakemake --unlock --configfile STUDY`, then cancel again"
            )
    for head in heads:
        try:
            if not head.recorded_end:
                head.interrupt()
        except PermissionError:
            raise InputError(
                f"{_name(head)} runs this study for another user and would resubmit cancelled "
                f"jobs, so nothing was cancelled. Ask its owner to stop it"
            ) from None
        say(f"stopping: {_name(head)}; this may take a minute or two")


def _cancel(plan: Plan, found: StudyJobs, before: set[str]) -> set[str]:
    """Cancel jobs not in `before`; return the ids of those cancelled now."""
    training = {run: job for run, job in found.training_jobs().items() if job.job_id not in before}
    others = [job for job in found.rule_jobs() if job.job_id not in before]
    numbers = [job.job_id for job in [*training.values(), *others]]
    if numbers and not squeue.cancel(numbers):
        raise RunError(
            "SLURM did not cancel the jobs: either it does not answer (try again in a minute), or "
            "some belong to another user"
        )
    for run, job in training.items():
        _forget(plan, run, job.name)
        say(f"cancelled: training of {run}, SLURM job {job.job_id} ({job.state.lower()})")
    for line in count_by_rule(others):
        say(f"cancelled: {line}")
    return set(numbers)


def _forget(plan: Plan, run: str, job: str) -> None:
    """Remove the record of a cancelled job, so that a waiting process does not requeue it."""
    path = plan.paths.job_record(run)
    record = JobRecord.read(path)
    if record and record.name == job:
        path.unlink(missing_ok=True)


def _name(head: WorkflowHead) -> str:
    return f"snakemake (process {head.pid})"
