"""The code that each process of a job runs."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import submitit

from scoresweep.pipeline.cluster.environment import launcher_variables, query_environment
from scoresweep.pipeline.errors import ScoresweepError, StoppedError
from scoresweep.pipeline.system.atomic_files import DISK_FULL_ERRORS
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.visible_gpus import VARIABLE

__all__ = ["ReportedError", "Task"]

SECONDS_UNTIL_KILLED = 60


@dataclass(frozen=True)
class ReportedError:
    """The message of a `ScoresweepError`, returned as the result of a process."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Task:
    """A function with its arguments, called in every process of a job."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    threads: int
    port: int | None = None
    """Port of rank 0 for torch.distributed; SLURM jobs derive it from the job id."""
    gpus: str | None = None
    """CUDA_VISIBLE_DEVICES of all processes; None: as SLURM sets it. (submitit knows indices only,
    no UUIDs.)"""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the arguments twice, so that `__call__` reports errors of unpickling them.

        They may be options of a plugin that is another one on this machine.
        """
        return {**self.__dict__, "arguments": (pickle.dumps(self.arguments),)}

    def __call__(self) -> ReportedError | None:
        """Set up the process and call the function; return the error that it reports."""
        environment = submitit.JobEnvironment()
        faulthandler.enable()
        _reset_signals()
        # A result may be left from before a requeue, or from another job with the same id.
        environment.paths.result_pickle.unlink(missing_ok=True)
        if environment.global_rank == 0:
            _link_latest_log(environment)
        self._set_environment(environment)
        try:
            self.function(*pickle.loads(self.arguments[0]))
        except StoppedError as stopped:
            if environment.cluster != "slurm":
                return ReportedError(str(stopped), stopped.exit_code)
            say(str(stopped))
            _wait_for_slurm_to_end_job(environment, stopped.requeue)
        except ScoresweepError as error:
            return ReportedError(str(error), error.exit_code)
        except OSError as error:
            if error.errno not in DISK_FULL_ERRORS:
                raise
            return ReportedError(f"{error.filename or 'a file'}: {error.strerror}", exit_code=1)
        return None

    def _set_environment(self, environment: submitit.JobEnvironment) -> None:
        """Set what torch.distributed and Accelerate read; a single process needs none of it.

        Variables set by the user's shell, or by `srun` with an MPI plugin, are removed.
        """
        for name in launcher_variables():
            del os.environ[name]
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        if self.gpus is not None:
            os.environ[VARIABLE] = self.gpus
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
    """Return a port for a SLURM job, below 32768, where ephemeral ports begin."""
    return 20000 + int(environment.raw_job_id) % 12768


def _reset_signals() -> None:
    """Replace submitit's signal handlers.

    It ignores SIGTERM, and on SIGUSR2 it requeues the job at once. Until the function installs its
    own handlers, SIGTERM ends the process and SIGUSR2 is blocked.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


def _wait_for_slurm_to_end_job(environment: submitit.JobEnvironment, requeue: bool) -> NoReturn:
    """Wait until SLURM ends this process, which has saved; write no result.

    SLURM is about to requeue, cancel or preempt the job. It requeues a preempted job only if the
    job does not end by itself.
    """
    if requeue and environment.global_rank == 0:
        say("asking SLURM to requeue this job")
        try:
            command = ["scontrol", "requeue", environment.raw_job_id]
            subprocess.run(command, env=query_environment(), check=False)
        except OSError as error:  # the process that waits for this job submits another
            say(f"scontrol: {error.strerror}; this job ends")
            raise SystemExit(1) from None
    time.sleep(SECONDS_UNTIL_KILLED)
    raise SystemExit(1)


def _link_latest_log(environment: submitit.JobEnvironment) -> None:
    """Point `latest.log` to the log of this process, for `tail -F`."""
    link = environment.paths.stdout.with_name("latest.log")
    temporary = link.with_name(f".latest.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(environment.paths.stdout.name)
    temporary.replace(link)
