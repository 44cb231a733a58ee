"""How far a job is: a small file that the job keeps writing and `scoresweep status` reads."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from scoresweep.pipeline.system.atomic_files import write_json

__all__ = ["JobState"]


def _slurm() -> dict[str, str]:
    """Return what SLURM has told this process about its job.

    One that submitit has started on its own machine, be it inside an allocation, is in no job: that
    one's end is not its end.
    """
    return {} if os.environ.get("SUBMITIT_EXECUTOR") == "local" else dict(os.environ)


def _slurm_job() -> str:
    return _slurm().get("SLURM_JOB_ID", "")


def _slurm_nodes() -> str:
    return _slurm().get("SLURM_JOB_NODELIST", "")


@dataclass
class JobState:
    """State of one training run or of the sampling of one setting."""

    state: str
    """"running", "stopped" (on request; it can go on), "done" or "failed"."""
    step: int
    """Steps (or chunks) done."""
    steps: int
    """Steps (or chunks) in all."""
    images_per_second: float = 0.0
    """Samples processed per second, over all processes."""
    seconds: float = 0.0
    """Seconds of work so far, earlier starts included."""
    message: str = ""
    """Why it failed, or what it is doing."""
    restarts: int = 0
    """How often it went on from a checkpoint."""
    pid: int = field(default_factory=os.getpid)
    """Process that writes this."""
    host: str = field(default_factory=socket.gethostname)
    """Machine of that process."""
    job_id: str = field(default_factory=_slurm_job)
    """SLURM's number of the job that this process belongs to, "12" or "12_3"; "" without SLURM."""
    nodes: str = field(default_factory=_slurm_nodes)
    """Nodes of that job, as SLURM writes them: "n[1-2]"."""
    updated: float = 0.0
    """Unix time of the last change."""

    def write(self, path: Path) -> None:
        """Write the state to `path`, stamped with the time."""
        self.updated = time.time()
        write_json(path, dataclasses.asdict(self), durable=False)

    @classmethod
    def read(cls, path: Path) -> JobState | None:
        """Return the state at `path`, or None where there is none or it is damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
