"""Only the latest start of a run may write to it.

File locks are not enough: some clusters' file systems lack them, and a node that SLURM considers
down may still be writing. So each start writes a token, and stops if it finds another's.
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
    """Holds the token of the latest start."""
    record: Path
    """`JobRecord` of the run's latest SLURM job."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def acquire(self) -> None:
        """Make this start the owner.

        Raises `RunError` in a SLURM job that another job has replaced.
        """
        record, name = JobRecord.read(self.record), os.environ.get("SLURM_JOB_NAME")
        is_job = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
        if is_job and record and record.name != name:
            raise RunError(f"{self.record}: {record.name} has replaced this SLURM job ({name})")
        with atomic_write(self.token_file) as temporary:
            temporary.write_text(self.token, encoding="utf-8")

    def check(self) -> None:
        """Raise `RunError` if another start has taken over.

        Raises `FileNotFoundError` if the token file was deleted.
        """
        if self.token_file.read_text(encoding="utf-8") != self.token:
            raise RunError(
                f"{self.token_file}: another process has taken over this run; this one stops"
            )
