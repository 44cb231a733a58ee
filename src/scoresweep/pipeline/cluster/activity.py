"""Whether jobs of a study are queued or running."""

from __future__ import annotations

import socket
import time

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.cluster.study_jobs import study_jobs
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import SECONDS_PER_DAY
from scoresweep.pipeline.system.batch_state import BatchState

__all__ = ["active_jobs"]


def active_jobs(plan: Plan) -> list[str]:
    """Return the names of queued and running jobs of a study, also of its earlier versions.

    Raises:
        RunError: if SLURM does not answer; then the state of its jobs is unknown.
    """
    names = [job.name for job in collect_jobs(plan) if job.state in ("running", "queued")]
    for path in plan.paths.results.glob("batches/*/*.progress.json"):
        state = BatchState.read(path)
        if state and _is_running(state):
            names.append(f"batch {path.name.removesuffix('.progress.json')} of {path.parent.name}")
    slurm = study_jobs(plan)
    if slurm:
        waiting = [*slurm.rule_jobs(), *slurm.training_jobs().values()]
        names += [f"SLURM job {job.job_id}" for job in waiting]
    return names


def _is_running(state: BatchState) -> bool:
    """Return whether the process of a batch may be running, other than in a SLURM job.

    We cannot tell whether a process on another host is alive, so it counts as ended after a day
    without a change of its file.
    """
    if state.state != "running" or state.has_ended:
        return False
    if state.host == socket.gethostname():
        return True
    return not state.job_id and time.time() - state.updated < SECONDS_PER_DAY
