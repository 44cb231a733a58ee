"""Stop the SLURM jobs of one study and no others."""

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

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_TO_END = 600.0
"""What a `snakemake` may take to end: it does so when it next asks for its jobs."""


def cancel(plan: Plan) -> None:
    """Cancel every SLURM job of the study that waits or runs; say what was cancelled.

    To a `snakemake` that waits for them they would have failed, and it would submit them again: it
    is ended first, as Ctrl-C does. Raises `InputError` where it runs on another machine, `RunError`
    where SLURM cannot be asked or does not answer.
    """
    try:
        found = study_jobs(plan) or StudyJobs()
    except RunError as error:
        raise RunError(f"{error}; nothing was cancelled") from None
    heads = [head for head in found.heads if not head.has_ended]
    _interrupt(heads)
    cancelled = _cancel(plan, found, set())
    deadline = time.monotonic() + SECONDS_TO_END
    while left := [head for head in heads if not head.has_ended]:
        if time.monotonic() > deadline:
            raise RunError(
                f"{_name(left[0])} does not end: `kill -9 {left[0].pid}`, then cancel once more"
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)
        cancelled |= _cancel(plan, study_jobs(plan) or found, cancelled)
    for head in heads:
        say(f"ended: {_name(head)}")
    if heads:  # what they submitted at the last moment
        cancelled |= _cancel(plan, study_jobs(plan) or found, cancelled)
    if not cancelled:
        say(f"no SLURM job of the study {plan.study.study} is queued or running")


def _interrupt(heads: list[WorkflowHead]) -> None:
    """Do what Ctrl-C does to each of `heads`, or raise `InputError` where that cannot be."""
    for head in heads:
        if not head.is_here:
            raise InputError(
                f"{_name(head)} runs this study, on {head.host}, and would submit again what is "
                f"cancelled; nothing was. Expected: this command on {head.host}. If that process "
                f"was killed, `snakemake --unlock --configfile STUDY`, then cancel again"
            )
    for head in heads:
        try:
            if not head.recorded_end:
                head.interrupt()
        except PermissionError:
            raise InputError(
                f"{_name(head)} runs this study, is another person's, and would submit again what "
                f"is cancelled; nothing was. Expected: that they end it"
            ) from None
        say(f"told to end: {_name(head)}; that may take a minute or two")


def _cancel(plan: Plan, found: StudyJobs, before: set[str]) -> set[str]:
    """Cancel the jobs that were not cancelled `before`; return the numbers of those that were."""
    training = {run: job for run, job in found.training_jobs().items() if job.job_id not in before}
    others = [job for job in found.rule_jobs() if job.job_id not in before]
    numbers = [job.job_id for job in [*training.values(), *others]]
    if numbers and not squeue.cancel(numbers):
        raise RunError(
            "SLURM did not cancel the jobs: it does not answer (try again in a minute), or some "
            "are another person's"
        )
    for run, job in training.items():
        _forget(plan, run, job.name)
        say(f"cancelled: training of {run}, SLURM job {job.job_id} ({job.state.lower()})")
    for line in count_by_rule(others):
        say(f"cancelled: {line}")
    return set(numbers)


def _forget(plan: Plan, run: str, job: str) -> None:
    """Remove the record of a cancelled job: who waits for it finds that it was not lost."""
    path = plan.paths.job_record(run)
    record = JobRecord.read(path)
    if record and record.name == job:
        path.unlink(missing_ok=True)


def _name(head: WorkflowHead) -> str:
    return f"snakemake (process {head.pid})"
