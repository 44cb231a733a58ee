"""One way to start work: submitit, with its local executor or SLURM."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import submitit

from scoresweep.errors import InputError, RunError, ScoresweepError
from scoresweep.launch.task import Failure, Task

__all__ = ["Resources", "launch"]

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_STOP = 60
LINES_OF_LOG = 30


@dataclass(frozen=True)
class Resources:
    """What a piece of work is started on."""

    cluster: Literal["local", "slurm"] = "local"
    nodes: int = 1
    processes: int = 1
    """Processes on each node."""
    gpus: int = 0
    """GPUs on each node."""
    threads: int = 1
    """CPU threads of each process."""
    minutes: int = 60 * 24 * 30
    """Time limit."""
    memory_mb: int | None = None
    """Memory on each node (SLURM)."""
    partition: str | None = None
    account: str | None = None


def launch(
    function: Callable[..., Any],
    *arguments: Any,
    resources: Resources,
    logs: Path,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run `function(*arguments)` in every process of `resources` and wait for all of them.

    `function` must be importable by name. `watch` is called several times a second meanwhile. If
    this process is interrupted, the work is asked to stop. Raises what the work raised where that
    is a `ScoresweepError`, and otherwise `RunError` with the end of the log.
    """
    executor = _executor(resources, logs)
    task = Task(function, arguments, resources.threads, _port())
    with _without_interrupts():
        job = executor.submit(task)
    try:
        while not job.done():
            watch()
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except BaseException:
        _stop(job)
        raise
    watch()
    for rank in range(resources.nodes * resources.processes):
        _raise_failure(job.task(rank))


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let what is started in the body ignore Ctrl-C.

    A terminal sends it to every process of the group; the one that launched the others is to ask
    them to stop, so that they save first.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _executor(resources: Resources, logs: Path) -> submitit.Executor:
    if resources.cluster == "local" and resources.nodes != 1:
        raise InputError(
            f"nodes: {resources.nodes}: this machine is one node; expected 1, or --cluster slurm"
        )
    if resources.cluster == "slurm" and shutil.which("srun") is None:
        raise InputError("cluster: slurm: this machine has no `srun`; expected local")
    executor = submitit.AutoExecutor(folder=logs, cluster=resources.cluster)
    executor.update_parameters(
        nodes=resources.nodes,
        tasks_per_node=resources.processes,
        gpus_per_node=resources.gpus,
        cpus_per_task=resources.threads,
        timeout_min=resources.minutes,
        stderr_to_stdout=True,
    )
    if resources.cluster == "slurm":
        executor.update_parameters(
            slurm_mem=f"{resources.memory_mb}M" if resources.memory_mb else None,
            slurm_partition=resources.partition,
            slurm_account=resources.account,
            slurm_srun_args=["--kill-on-bad-exit=1"],
            slurm_additional_parameters={"distribution": "block"},
        )
    return executor


def _port() -> int:
    """Return a free port below 32768, where the system does not hand out ports by itself."""
    for port in range(20000 + os.getpid() % 12000, 32768):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise RunError("no free port between 20000 and 32768 for the processes to meet at")


def _stop(job: submitit.Job[Any]) -> None:
    """Ask the work to save and end; on this machine wait for it, and end it by force if need be."""
    if not isinstance(job, submitit.LocalJob):
        job.cancel(check=False)
        return
    if job._process is None:
        return
    tasks = _tasks(job._process.pid)
    for task in tasks:
        task.terminate()
    _, left = psutil.wait_procs(tasks, timeout=SECONDS_TO_STOP)
    for task in left:
        task.kill()
    job._process.wait()


def _tasks(controller: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(controller).children()
    except psutil.NoSuchProcess:
        return []
    return children


def _raise_failure(job: submitit.Job[Any]) -> None:
    """Raise what went wrong in one process, if anything did."""
    if not job.paths.result_pickle.exists():
        raise RunError(f"a process ended without a result; its log {_end_of_log(job)}")
    try:
        result = job.result()
    except submitit.core.utils.FailedJobError:
        raise RunError(f"a process failed; its log {_end_of_log(job)}") from None
    if isinstance(result, Failure):
        error: type[ScoresweepError] = InputError if result.exit_code == 2 else RunError
        raise error(result.message)


def _end_of_log(job: submitit.Job[Any]) -> str:
    """Return the name and the last lines of a process's log."""
    path = job.paths.stdout
    if not path.exists():
        return f"{path} does not exist"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{path} ends with:\n" + "\n".join(lines[-LINES_OF_LOG:])
