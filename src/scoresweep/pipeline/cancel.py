"""Stop the SLURM jobs of one study and no others."""

from __future__ import annotations

from scoresweep.console import say
from scoresweep.errors import RunError
from scoresweep.launch import slurm
from scoresweep.launch.record import JobRecord
from scoresweep.pipeline.slurm_jobs import Head, StudyJobs, count_by_rule, study_jobs
from scoresweep.study import Plan

__all__ = ["cancel"]


def cancel(plan: Plan) -> None:
    """Cancel every SLURM job of the study that waits or runs; say what was cancelled.

    A training that runs saves a checkpoint before it ends. Raises `RunError` where SLURM cannot be
    asked or does not answer.
    """
    try:
        found = study_jobs(plan) or StudyJobs()
    except RunError as error:
        raise RunError(f"{error}; nothing was cancelled") from None
    training, others = found.of_training(), found.of_rules()
    if not training and not others:
        say(f"no SLURM job of the study {plan.study.study} is queued or running")
    elif not slurm.cancel([job.job_id for job in [*training.values(), *others]]):
        raise RunError("SLURM did not cancel the jobs; try again in a minute")
    for run, job in training.items():
        _forget(plan, run, job.name)
        say(f"cancelled: training of {run}, SLURM job {job.job_id} ({job.state.lower()})")
    for line in count_by_rule(others):
        say(f"cancelled: {line}")
    for head in found.heads:
        if not head.has_ended:
            say(_warning(head))


def _forget(plan: Plan, run: str, job: str) -> None:
    """Remove the record of a cancelled job: who waits for it finds that it was not lost."""
    path = plan.layout.job_record(run)
    record = JobRecord.read(path)
    if record and record.name == job:
        path.unlink(missing_ok=True)


def _warning(head: Head) -> str:
    """Say what to do about a `snakemake` that runs or may run."""
    end = f"end it with Ctrl-C or `kill -INT {head.pid}`, then cancel once more"
    if head.is_here:
        return f"snakemake (process {head.pid}) still runs this study and may submit again: {end}"
    return (
        f"snakemake (process {head.pid} on {head.host}) may submit again if it still runs: {end} "
        f"from there"
    )
