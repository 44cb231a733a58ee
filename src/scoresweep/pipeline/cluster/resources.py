"""Resources of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Resources"]


@dataclass(frozen=True)
class Resources:
    """Nodes, processes and devices of a job. If None, the site's default applies."""

    cluster: Literal["local", "slurm"] = "local"
    nodes: int = 1
    processes: int = 1
    """Processes on each node."""
    gpus: int = 0
    """GPUs on each node."""
    threads: int = 1
    """CPU threads of each process."""
    minutes: int = 240
    """Time limit (SLURM); a run that reaches it saves and is requeued."""
    memory_mb: int | None = None
    """Memory on each node, in MB (SLURM)."""
    partition: str | None = None
    account: str | None = None
    extra: str = ""
    """Other options of `sbatch`, as on its command line (SLURM): "--qos=long --exclusive"."""

    @property
    def tasks(self) -> int:
        """Total number of processes."""
        return self.nodes * self.processes
