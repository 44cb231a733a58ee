"""Who may write to a run: the process that started last.

Locks of the file system end with their process, but not every cluster's file system has them, and
a node that SLURM took for dead may still be writing. So whoever starts leaves a mark, and whoever
finds another's mark stops before it writes.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.atomic_files import atomic_write

__all__ = ["RunOwnership"]


@dataclass(frozen=True)
class RunOwnership:
    """One start of a run's training."""

    token_file: Path
    """File that names the latest start."""
    record: Path
    """File that names the run's latest SLURM job."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def acquire(self) -> None:
        """Make this start the owner; raise `RunError` in a SLURM job that another has replaced."""
        record, name = JobRecord.read(self.record), os.environ.get("SLURM_JOB_NAME")
        is_job = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
        if is_job and record and record.name != name:
            raise RunError(f"{self.record}: {record.name} has replaced this SLURM job ({name})")
        with atomic_write(self.token_file) as temporary:
            temporary.write_text(self.token, encoding="utf-8")

    def check(self) -> None:
        """Raise `RunError` if another start has taken over.

        Raises `FileNotFoundError` if the mark is gone.
        """
        if self.token_file.read_text(encoding="utf-8") != self.token:
            raise RunError(
                f"{self.token_file}: another process has taken this run over; this one stops"
            )
