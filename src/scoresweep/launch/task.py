"""What runs inside each process that submitit starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import submitit

from scoresweep.errors import ScoresweepError
from scoresweep.files import NO_SPACE

__all__ = ["Failure", "Task"]


@dataclass(frozen=True)
class Failure:
    """An error for a person, carried back as a value."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Task:
    """A function with its arguments, and where the processes that share it meet."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    threads: int
    port: int

    def __call__(self) -> Failure | None:
        """Set up the process, call the function; return the failure that a person can act on."""
        environment = submitit.JobEnvironment()
        self._export(environment)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit ignores it
        import torch  # after the number of threads is set

        torch.set_num_threads(self.threads)
        try:
            self.function(*self.arguments)
        except ScoresweepError as error:
            return Failure(str(error), error.exit_code)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            return Failure(f"{error.filename or 'a file'}: {error.strerror}", exit_code=1)
        return None

    def _export(self, environment: submitit.JobEnvironment) -> None:
        """Set what torch.distributed and Accelerate read; a single process needs none of it."""
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        if environment.num_tasks == 1:
            return
        processes = environment.num_tasks // environment.num_nodes
        os.environ.update(
            RANK=str(environment.global_rank),
            WORLD_SIZE=str(environment.num_tasks),
            LOCAL_RANK=str(environment.local_rank),
            LOCAL_WORLD_SIZE=str(processes),
            MASTER_ADDR="127.0.0.1" if environment.num_nodes == 1 else environment.hostnames[0],
            MASTER_PORT=str(self.port),
        )
