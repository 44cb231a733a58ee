"""Progress of a job, in a file that the job updates and `scoresweep status` reads."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.system.process import process_exists

__all__ = ["JobState"]


def _slurm_variable(name: str) -> str:
    """Return a variable of this process's SLURM job, or "".

    A process that submitit started locally, even inside an allocation, has no SLURM job: it does
    not end with that job.
    """
    is_local = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    return "" if is_local else os.environ.get(name, "")


@dataclass
class JobState:
    """State of a training, of drawing the samples of a setting, or of a batch of settings."""

    state: str
    """"running", "stopped" (on request; it can be resumed), "done" or "failed"."""
    step: int
    """Steps (or chunks) done."""
    steps: int
    """Total number of steps (or chunks)."""
    images_per_second: float = 0.0
    """Samples processed per second, over all processes."""
    seconds: float = 0.0
    """Seconds of work so far, including earlier starts."""
    message: str = ""
    """Why it failed, or what it is doing."""
    restarts: int = 0
    """How often it resumed from a checkpoint."""
    pid: int = field(default_factory=os.getpid)
    """Id of the process that writes this file."""
    host: str = field(default_factory=socket.gethostname)
    """Host of that process."""
    job_id: str = field(default_factory=partial(_slurm_variable, "SLURM_JOB_ID"))
    """SLURM job id, "12" or "12_3"; "" without SLURM."""
    nodes: str = field(default_factory=partial(_slurm_variable, "SLURM_JOB_NODELIST"))
    """Nodes of that job in SLURM's notation: "n[1-2]"."""
    updated: float = 0.0
    """Unix time of the last change."""

    @property
    def has_ended(self) -> bool:
        """Whether its process ran on this host and has ended; unknown processes count as alive."""
        return self.host == socket.gethostname() and not process_exists(self.pid)

    def write(self, path: Path) -> None:
        """Write the state and the current time to `path`."""
        self.updated = time.time()
        write_json(path, dataclasses.asdict(self), durable=False)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the state in `path`, or None if it is missing or damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
