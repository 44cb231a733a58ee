"""What SLURM says about jobs.

Everything is asked of the controller (`squeue`), which every site has; accounting (`sacct`) may be
switched off. A question that is not answered is no answer: nothing is concluded from it.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from scoresweep.pipeline.cluster.environment import for_questions
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.memory_errors import MEMORY_REMEDIES

__all__ = ["REMEDIES", "QueuedJob", "cancel", "is_live", "query_jobs", "wait_for_slurm"]

SECONDS_TO_ANSWER = 30
SEPARATOR = "|"
FIELDS = ("%i", "%T", "%N", "%r", "%j", "%k")
ACTIVE_STATES = {
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "COMPLETING",
    "STAGE_OUT",
    "SUSPENDED",
    "STOPPED",
    "SIGNALING",
    "RESIZING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
}

REMEDIES = {
    "PartitionTimeLimit": "for ever: it asks for more time than the partition allows; cancel it "
    "and start again with --set-resources train:runtime=MINUTES (by hand: --minutes)",
    "OUT_OF_MEMORY": f"It ran out of memory: {MEMORY_REMEDIES['train']}",
    "TIMEOUT": "It has to save before its time limit: --set-resources train:runtime=MINUTES (by "
    "hand: --minutes)",
}
"""What to do where a job waits for a reason, or ended in a state, that does not pass by itself."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that SLURM still knows."""

    job_id: str
    state: str
    """SLURM's name: "PENDING", "RUNNING", "NODE_FAIL", ..."""
    nodes: str
    """As SLURM writes them: "n[1-2]"."""
    reason: str
    """Why it waits, or why it ended."""
    name: str
    comment: str


def is_live(state: str) -> bool:
    """Return whether a job in `state` runs or may still run."""
    return state in ACTIVE_STATES


def query_jobs(name: str | None = None) -> list[QueuedJob] | None:
    """Return this user's jobs, those that ended a short while ago too; None without an answer.

    With `name` the jobs called that, whosesoever they are: two people may share a study.
    """
    command = ["squeue", "--all", "--states=all", "--noheader"]  # hidden partitions too
    command.append("--format=" + SEPARATOR.join(FIELDS))
    command.append("--me" if name is None else f"--name={name}")
    answer = _ask(command)
    if answer is None:
        return None
    rows = (line.split(SEPARATOR, len(FIELDS) - 1) for line in answer.splitlines())
    # A line break in the name of another job makes a row that is too short.
    return [QueuedJob(*map(str.strip, row)) for row in rows if len(row) == len(FIELDS)]


def wait_for_slurm(name: str = "none") -> list[QueuedJob]:
    """Wait until SLURM answers; return the jobs that are called `name`."""
    pause = 2.0
    while (jobs := query_jobs(name)) is None:
        say("SLURM does not answer; waiting")
        time.sleep(pause)
        pause = min(30.0, 2 * pause)
    return jobs


def cancel(job_ids: list[str]) -> bool:
    """Cancel jobs; return whether SLURM took the wish."""
    return _ask(["scancel", *job_ids]) is not None


def _ask(command: list[str]) -> str | None:
    """Return what a SLURM program prints, or None where SLURM does not answer or says no."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=for_questions(),
            timeout=SECONDS_TO_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
