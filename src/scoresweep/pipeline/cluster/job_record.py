"""Which SLURM job trains a run: written before the job is submitted, read after a crash."""

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
    """A SLURM job, known by a name that no other job ever has: job ids start again from one."""

    name: str
    job_id: str | None
    """None from just before the submission to just after it."""
    tasks: int
    """Number of processes."""
    submitted: float = field(default_factory=time.time)
    """Unix time."""

    @classmethod
    def new(cls, title: str, tasks: int) -> JobRecord:
        """Return the record of a job that is about to be submitted."""
        return cls(f"{title}.{uuid.uuid4().hex[:12]}", None, tasks)

    def write(self, path: Path) -> None:
        """Write the record to `path`."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> JobRecord | None:
        """Return the record at `path`, or None where there is none; raise `RunError` if damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{path}: is damaged ({error}): which SLURM job trains the run is not known. See "
                f"with `squeue --me --format='%i %T %j'` whether a job whose name has "
                f"{path.parent.name!r} in it is left, wait for its end or `scancel` it, then "
                f"remove the file"
            ) from None
