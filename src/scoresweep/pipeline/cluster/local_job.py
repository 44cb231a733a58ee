"""A job on this machine, run by submitit's local executor."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import submitit

from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.cluster.task import Task
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.system.visible_gpus import allot_gpus

__all__ = ["LocalJob"]

SECONDS_BETWEEN_POLLS = 0.2
SECONDS_TO_STOP = 60
NO_LIMIT = 60 * 24 * 365
"""Minutes; submitit's default would end the job after two."""


class LocalJob:
    """Processes on this machine; they stop if the process that started them is interrupted."""

    def __init__(self, task: Task, resources: Resources, logs: Path) -> None:
        """Start `task` in every process."""
        if resources.nodes != 1:
            raise InputError(
                f"nodes: {resources.nodes}: this machine is one node; expected 1, or "
                f"--cluster slurm"
            )
        gpus = allot_gpus(resources.gpus)
        executor = submitit.LocalExecutor(folder=logs)
        executor.update_parameters(
            tasks_per_node=resources.processes,
            timeout_min=NO_LIMIT,
            stderr_to_stdout=True,
        )
        with _ignore_ctrl_c():
            job = executor.submit(dataclasses.replace(task, port=_port(), gpus=gpus))
        assert isinstance(job, submitit.LocalJob)
        self.job = job
        self.job_id = job.job_id
        self.tasks = resources.tasks
        self.name = "the job"

    def wait(self, watch: Callable[[], None]) -> str:
        """Wait for the end; if this process is interrupted, stop the job."""
        try:
            while not self.job.done():
                watch()
                time.sleep(SECONDS_BETWEEN_POLLS)
        except BaseException:
            self._stop()
            raise
        return "ended"

    def _stop(self) -> None:
        """Tell the processes to save and stop; kill those that do not within a minute."""
        assert self.job._process is not None
        tasks = _children(self.job._process.pid)
        for task in tasks:
            task.terminate()
        _, alive = psutil.wait_procs(tasks, timeout=SECONDS_TO_STOP)
        for task in alive:
            task.kill()
        self.job._process.wait()


@contextmanager
def _ignore_ctrl_c() -> Iterator[None]:
    """Let processes started in the body ignore Ctrl-C.

    A terminal sends it to the whole process group. Only the launching process handles it, and tells
    the others to save and stop.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _port() -> int:
    """Return a free port below 32768, where ephemeral ports begin."""
    for port in range(20000 + os.getpid() % 12000, 32768):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise RunError("no free port between 20000 and 32768 for torch.distributed")


def _children(process: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(process).children()
    except psutil.NoSuchProcess:
        return []
    return children
