"""What a piece of work is started on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Resources"]


@dataclass(frozen=True)
class Resources:
    """Nodes, processes and devices; what only SLURM knows is left to the site where it is None."""

    cluster: Literal["local", "slurm"] = "local"
    nodes: int = 1
    processes: int = 1
    """Processes on each node."""
    gpus: int = 0
    """GPUs on each node."""
    threads: int = 1
    """CPU threads of each process."""
    minutes: int = 240
    """Time limit (SLURM); a run that reaches it saves and goes on in the queue."""
    memory_mb: int | None = None
    """Memory on each node, in MB (SLURM)."""
    partition: str | None = None
    account: str | None = None
    extra: str = ""
    """Further options of `sbatch`, as on its command line (SLURM): "--qos=long --exclusive"."""

    @property
    def tasks(self) -> int:
        """Number of processes in all."""
        return self.nodes * self.processes
