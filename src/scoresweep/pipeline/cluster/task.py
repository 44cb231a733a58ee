"""What runs inside each process that submitit starts."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import submitit

from scoresweep.pipeline.cluster.environment import for_questions, launcher_variables
from scoresweep.pipeline.errors import ScoresweepError
from scoresweep.pipeline.system.atomic_files import NO_SPACE
from scoresweep.pipeline.system.console import say

__all__ = ["ReportedError", "Task"]

SECONDS_TO_BE_ENDED = 60


@dataclass(frozen=True)
class ReportedError:
    """An error for a person, carried back as a value."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Task:
    """A function with its arguments, as each process calls it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    threads: int
    port: int | None = None
    """Where the processes meet; SLURM's jobs derive it from their number."""

    def __call__(self) -> ReportedError | None:
        """Set up the process, call the function; return the failure that a person can act on."""
        environment = submitit.JobEnvironment()
        faulthandler.enable()
        _take_signals()
        # An earlier start of a job that was requeued, or of another with the same number, may
        # have left its result.
        environment.paths.result_pickle.unlink(missing_ok=True)
        if environment.global_rank == 0:
            _link_log(environment)
        self._export(environment)
        # These import torch, which reads the number of threads.
        from scoresweep.pipeline.system.process import set_up_process
        from scoresweep.pipeline.training.trainer import StoppedError

        set_up_process(self.threads)
        try:
            self.function(*self.arguments)
        except StoppedError as stopped:
            if environment.cluster != "slurm":
                return ReportedError(str(stopped), stopped.exit_code)
            say(str(stopped))
            _leave(environment, stopped.requeue)
        except ScoresweepError as error:
            return ReportedError(str(error), error.exit_code)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            return ReportedError(f"{error.filename or 'a file'}: {error.strerror}", exit_code=1)
        return None

    def _export(self, environment: submitit.JobEnvironment) -> None:
        """Set what torch.distributed and Accelerate read; a single process needs none of it.

        What a user's shell, or `srun` with an MPI plugin, has set counts for nothing.
        """
        for name in launcher_variables():
            del os.environ[name]
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
            MASTER_PORT=str(self.port or _port(environment)),
        )


def _port(environment: submitit.JobEnvironment) -> int:
    """Return a port for a SLURM job, below 32768: above, the system hands ports out by itself."""
    return 20000 + int(environment.raw_job_id) % 12768


def _take_signals() -> None:
    """Undo what submitit does with signals.

    It ignores SIGTERM, and on SIGUSR2 it requeues the job at once, whatever it is doing. Until the
    function is ready to save and stop, the first ends the process and the second has to wait.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


def _leave(environment: submitit.JobEnvironment, requeue: bool) -> NoReturn:
    """Wait for SLURM to end this process, which has saved; it leaves no result.

    The job is to go on, was cancelled, or has to make room for another: in the last case SLURM puts
    it back into the queue only if it has not ended by itself.
    """
    if requeue and environment.global_rank == 0:
        say("asking SLURM to put the job back into the queue")
        try:
            command = ["scontrol", "requeue", environment.raw_job_id]
            subprocess.run(command, env=for_questions(), check=False)
        except OSError as error:  # whoever waits for the job submits another
            say(f"scontrol: {error.strerror}; this job ends")
            raise SystemExit(1) from None
    time.sleep(SECONDS_TO_BE_ENDED)
    raise SystemExit(1)


def _link_log(environment: submitit.JobEnvironment) -> None:
    """Let `latest.log` be the log of this process, for `tail -F`."""
    link = environment.paths.stdout.with_name("latest.log")
    temporary = link.with_name(f".latest.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(environment.paths.stdout.name)
    temporary.replace(link)
