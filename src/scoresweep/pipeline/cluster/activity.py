"""Whether jobs of a study are queued or running."""

from __future__ import annotations

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.cluster.study_jobs import study_jobs
from scoresweep.pipeline.study import Plan

__all__ = ["active_jobs"]


def active_jobs(plan: Plan) -> list[str]:
    """Return the names of queued and running jobs of a study.

    Raises:
        RunError: if SLURM does not answer; then the state of its jobs is unknown.
    """
    names = [job.name for job in collect_jobs(plan) if job.state in ("running", "queued")]
    slurm = study_jobs(plan)
    if slurm:
        waiting = [*slurm.rule_jobs(), *slurm.training_jobs().values()]
        names += [f"SLURM job {job.job_id}" for job in waiting]
    return names
