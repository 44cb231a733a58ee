"""Record of the SLURM job that trains a run, written before the job is submitted."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.atomic_files import write_json

__all__ = ["JobRecord"]


@dataclass(frozen=True)
class JobRecord:
    """A SLURM job. Its name is unique; SLURM reuses job ids."""

    name: str
    job_id: str | None
    """None until the job has been submitted."""
    tasks: int
    """Number of processes."""
    submitted: float = field(default_factory=time.time)
    """Unix time."""

    @classmethod
    def new(cls, title: str, tasks: int) -> JobRecord:
        """Return the record of a job to be submitted."""
        return cls(f"{title}.{uuid.uuid4().hex[:12]}", None, tasks)

    def write(self, path: Path) -> None:
        """Write the record to `path`."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> JobRecord | None:
        """Return the record at `path`, None if missing; raise `RunError` if damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{path}: is damaged ({error}), so the SLURM job of this run is unknown. Look for "
                f"a job whose name contains {path.parent.name!r} with `squeue --me --format='%i %T "
                f"%j'`, wait for it or `scancel` it, then remove the file"
            ) from None
