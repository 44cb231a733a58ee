"""Snakemake's executor for SLURM, made to wait while SLURM does not answer.

As it is (executor 2.8.0), a controller that is away for longer than its attempts makes it forget
all jobs that run, and wait for their end for ever; one that is away for a moment makes it ask the
accounting instead of the queue, and there may be none. And it asks so rarely at last, every three
minutes, that the queue may have forgotten a job in between.

Where no account or partition is given it guesses: the account with a `sacct` command that fails,
the partition without regard to `SBATCH_PARTITION`. SLURM knows both defaults.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from scoresweep.pipeline.cluster.squeue import wait_for_slurm

__all__ = ["be_patient"]

SECONDS_BETWEEN_CHECKS = 60
"""At most; SLURM keeps ended jobs for `MinJobAge`, 300 s unless a site says otherwise."""


def be_patient(executor: Any) -> None:
    """Change how `executor` asks for the state of its jobs, and leave defaults to SLURM."""
    executor._fallback_account_arg = executor._fallback_partition = ""
    os.environ["SQUEUE_ALL"] = "1"  # it asks for jobs in hidden partitions, too
    module = sys.modules[type(executor).__module__]
    module.get_min_job_age = _remembering(module.get_min_job_age)  # type: ignore[attr-defined]
    check = executor.check_active_jobs
    told: list[Any] = []
    for name in ("report_job_success", "report_job_error"):
        setattr(executor, name, _noting(getattr(executor, name), told))

    async def check_active_jobs(active_jobs: list[Any]) -> AsyncIterator[Any]:
        if active_jobs:
            wait_for_slurm()
        told.clear()
        live = [job async for job in check(active_jobs)]
        for job in live if live or told else active_jobs:  # neither: there was no answer
            yield job
        executor.next_seconds_between_status_checks = min(
            executor.next_seconds_between_status_checks, SECONDS_BETWEEN_CHECKS
        )

    executor.check_active_jobs = check_active_jobs


def _remembering(ask: Callable[[], int | None]) -> Callable[[], int | None]:
    """Return `ask` with its last answer in place of none."""
    last: int | None = None

    def remembered() -> int | None:
        nonlocal last
        answer = ask()
        last = last if answer is None else answer
        return last

    return remembered


def _noting(report: Callable[..., Any], told: list[Any]) -> Callable[..., Any]:
    """Return `report` that notes each job it is called for in `told`."""

    def noted(job: Any, *arguments: Any, **options: Any) -> Any:
        told.append(job)
        return report(job, *arguments, **options)

    return noted
