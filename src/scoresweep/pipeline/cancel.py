"""Stop the SLURM jobs of one study and no others."""

from __future__ import annotations

from scoresweep.console import say
from scoresweep.errors import RunError
from scoresweep.launch import slurm
from scoresweep.pipeline.slurm_jobs import count_by_rule, study_jobs
from scoresweep.study import Plan

__all__ = ["cancel"]


def cancel(plan: Plan) -> None:
    """Cancel every SLURM job of the study that waits or runs; say what was cancelled.

    A training that runs saves a checkpoint before it ends. Raises `RunError` where SLURM does not
    answer.
    """
    found = study_jobs(plan)
    if found is None:
        raise RunError("SLURM does not answer, and nothing was cancelled; try again in a minute")
    training, others = found.of_training(), found.of_rules()
    if not training and not others:
        say(f"no SLURM job of the study {plan.study.study} is queued or running")
    elif not slurm.cancel([job.job_id for job in [*training.values(), *others]]):
        raise RunError("SLURM did not cancel the jobs; try again in a minute")
    for run, job in training.items():
        say(f"cancelled: training of {run}, SLURM job {job.job_id} ({job.state.lower()})")
    for line in count_by_rule(others):
        say(f"cancelled: {line}")
    for head in found.heads:
        if head.is_alive:
            say(
                f"snakemake (process {head.pid}) still runs this study and may submit again: end "
                f"it with Ctrl-C or `kill -INT {head.pid}`, then cancel once more"
            )
