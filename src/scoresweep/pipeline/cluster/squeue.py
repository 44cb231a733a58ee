"""Query SLURM about jobs.

All queries go to the controller (`squeue`), which every site has; accounting (`sacct`) may be
switched off. A failed query means that the state is unknown.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from scoresweep.pipeline.cluster.environment import query_environment
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.memory_errors import MEMORY_REMEDIES

__all__ = ["REMEDIES", "QueuedJob", "cancel", "is_live", "query_jobs", "wait_for_slurm"]

SECONDS_TO_ANSWER = 30
SEPARATOR = "|"
FIELDS = ("%i", "%T", "%N", "%r", "%j", "%k")
ACTIVE_STATES = frozenset(
    (
        *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED"),
        *("SIGNALING", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"),
        "SPECIAL_EXIT",
    )
)

REMEDIES = {
    "PartitionTimeLimit": "forever: it requests more time than the partition allows; cancel it "
    "and start again with --set-resources train:runtime=MINUTES (by hand: --minutes)",
    "OUT_OF_MEMORY": f"It ran out of memory: {MEMORY_REMEDIES['train']}",
    "TIMEOUT": "It did not save before its time limit: --set-resources train:runtime=MINUTES (by "
    "hand: --minutes)",
}
"""What to do about reasons and states that do not resolve by themselves."""


@dataclass(frozen=True)
class QueuedJob:
    """A job in the queue, or one that ended recently."""

    job_id: str
    state: str
    """"PENDING", "RUNNING", "NODE_FAIL", ..."""
    nodes: str
    """In SLURM's notation: "n[1-2]"."""
    reason: str
    """Why it waits, or why it ended."""
    name: str
    comment: str


def is_live(state: str) -> bool:
    """Return whether a job in `state` is queued or running."""
    return state in ACTIVE_STATES


def query_jobs(name: str | None = None) -> list[QueuedJob] | None:
    """Return this user's jobs, including those that ended recently; None if the query failed.

    With `name`, return the jobs of that name, whoever owns them: two people may share a study.
    """
    command = ["squeue", "--all", "--states=all", "--noheader"]  # hidden partitions too
    command.append("--format=" + SEPARATOR.join(FIELDS))
    command.append("--me" if name is None else f"--name={name}")
    answer = _run(command)
    if answer is None:
        return None
    rows = (line.split(SEPARATOR, len(FIELDS) - 1) for line in answer.splitlines())
    # Rows are too short if the name of another job contains a line break.
    return [QueuedJob(*map(str.strip, row)) for row in rows if len(row) == len(FIELDS)]


def wait_for_slurm(name: str = "none") -> list[QueuedJob]:
    """Wait until SLURM answers; return the jobs named `name`."""
    pause = 2.0
    while (jobs := query_jobs(name)) is None:
        say("SLURM does not answer; waiting")
        time.sleep(pause)
        pause = min(30.0, 2 * pause)
    return jobs


def cancel(job_ids: list[str]) -> bool:
    """Cancel jobs; return whether `scancel` succeeded."""
    return _run(["scancel", *job_ids]) is not None


def _run(command: list[str]) -> str | None:
    """Return the output of a SLURM program; None if it failed or SLURM does not answer."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=query_environment(),
            timeout=SECONDS_TO_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
