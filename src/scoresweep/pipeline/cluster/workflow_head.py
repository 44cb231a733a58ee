"""The head of a workflow: the `snakemake` that submits its SLURM jobs and waits for them.

Each start is recorded in a file with the name that Snakemake's executor gives all of its jobs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from scoresweep.pipeline.study import StudyPaths

__all__ = ["WorkflowHead", "record_workflow_end", "record_workflow_start", "workflow_heads"]

START_LINE = re.compile(r"(\S+) (\S+) (\d+) (\d+)")
"""Line of a start: name of its jobs, host, process id, creation time of the process."""

ENDED = "ended"
"""Follows the name of the jobs in the line that records the end of a start."""

CLOCK_TOLERANCE = 5.0
"""Seconds by which a process's creation time may shift when the clock is adjusted."""


@dataclass(frozen=True)
class WorkflowHead:
    """One start of the workflow."""

    jobs: str
    """Name of all its jobs."""
    host: str
    pid: int
    created: float
    """Unix time at which the process was created; process ids are reused."""
    recorded_end: bool = False
    """Whether it recorded its end, after which it may still wait for trainings; False if killed."""
    locked: bool = True
    """Whether a `snakemake` holds the lock of the study's folder."""

    @property
    def is_here(self) -> bool:
        """Whether it was started on this machine."""
        return self.host == socket.gethostname()

    @property
    def has_ended(self) -> bool:
        """Whether it has ended; on another machine, it may be running if the folder is locked."""
        if not self.is_here:
            return self.recorded_end or not self.locked
        try:
            process = psutil.Process(self.pid)
            is_another = abs(process.create_time() - self.created) > CLOCK_TOLERANCE
            return is_another or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def interrupt(self) -> None:
        """Interrupt it as Ctrl-C does; raise `PermissionError` if another user owns the process.

        Background processes of scripts ignore SIGINT. On SIGTERM, `snakemake` submits no more jobs
        and waits for those that it has.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if self._ignores_sigint else signal.SIGINT)

    @property
    def _ignores_sigint(self) -> bool:
        """Whether the process ignores SIGINT; True if the system does not say (macOS)."""
        path = Path(f"/proc/{self.pid}/status")
        ignored = re.search(r"SigIgn:\s*(\w+)", path.read_text() if path.exists() else "")
        return ignored is None or bool(int(ignored[1], 16) & 1 << signal.SIGINT - 1)


def record_workflow_start(paths: StudyPaths, jobs: str) -> None:
    """Record that this process is the head of the workflow, whose jobs are named `jobs`."""
    paths.results.mkdir(parents=True, exist_ok=True)
    host, pid, created = _this_process()
    with paths.workflow_heads.open("a", encoding="utf-8") as file:
        file.write(f"{jobs} {host} {pid} {created:.0f}\n")


def record_workflow_end(paths: StudyPaths) -> None:
    """Record that this process, if it is a recorded head, submits no more jobs."""
    for head in workflow_heads(paths):
        if (head.host, head.pid, head.created) == _this_process():
            with paths.workflow_heads.open("a", encoding="utf-8") as file:
                file.write(f"{head.jobs} {ENDED}\n")


def _this_process() -> tuple[str, int, float]:
    """Return host, process id and creation time."""
    return socket.gethostname(), os.getpid(), round(psutil.Process().create_time())


def workflow_heads(paths: StudyPaths) -> list[WorkflowHead]:
    """Return the recorded heads; ignore a truncated line."""
    if not paths.workflow_heads.exists():
        return []
    lines = paths.workflow_heads.read_text(encoding="utf-8").splitlines()
    ended = {line.removesuffix(f" {ENDED}") for line in lines if line.endswith(f" {ENDED}")}
    starts = [found.groups() for line in lines if (found := START_LINE.fullmatch(line))]
    locked = any((paths.root / ".snakemake/locks").glob("*"))
    return [
        WorkflowHead(jobs, host, int(pid), float(created), jobs in ended, locked)
        for jobs, host, pid, created in starts
    ]
