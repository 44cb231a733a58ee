"""Work on this machine, through submitit's local executor."""

from __future__ import annotations

import dataclasses
import os
import re
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

__all__ = ["LocalJob"]

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_STOP = 60
NO_LIMIT = 60 * 24 * 365
"""Minutes; submitit's own default would end the work after two."""


class LocalJob:
    """Processes of this machine; they end when the one that started them is asked to."""

    def __init__(self, task: Task, resources: Resources, logs: Path) -> None:
        """Start `task` in every process."""
        if resources.nodes != 1:
            raise InputError(
                f"nodes: {resources.nodes}: this machine is one node; expected 1, or "
                f"--cluster slurm"
            )
        given = _visible_gpus()
        if given and resources.gpus > len(given):
            raise InputError(
                f"gpus: {resources.gpus}: CUDA_VISIBLE_DEVICES names {len(given)}; expected "
                f"{len(given)} or fewer"
            )
        executor = submitit.LocalExecutor(folder=logs)
        executor.update_parameters(
            tasks_per_node=resources.processes,
            gpus_per_node=resources.gpus,
            visible_gpus=given,
            timeout_min=NO_LIMIT,
            stderr_to_stdout=True,
        )
        with _without_interrupts():
            job = executor.submit(dataclasses.replace(task, port=_port()))
        assert isinstance(job, submitit.LocalJob)
        self.job = job
        self.job_id = self.job.job_id
        self.tasks = resources.tasks
        self.name = "the work"

    def wait(self, watch: Callable[[], None]) -> str:
        """Wait for the end; if this process is interrupted, the work is asked to stop."""
        try:
            while not self.job.done():
                watch()
                time.sleep(SECONDS_BETWEEN_LOOKS)
        except BaseException:
            self._stop()
            raise
        return "ended"

    def _stop(self) -> None:
        """Ask the processes to save and end, wait for them, and end them by force if need be."""
        assert self.job._process is not None
        tasks = _children(self.job._process.pid)
        for task in tasks:
            task.terminate()
        _, left = psutil.wait_procs(tasks, timeout=SECONDS_TO_STOP)
        for task in left:
            task.kill()
        self.job._process.wait()


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


def _visible_gpus() -> list[int] | tuple[()]:
    """Return the GPUs that a scheduler has given to this process; () for all of the machine."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [int(part) for part in mask.split(",")] if re.fullmatch(r"\d+(,\d+)*", mask) else ()


def _port() -> int:
    """Return a free port below 32768, where the system does not hand out ports by itself."""
    for port in range(20000 + os.getpid() % 12000, 32768):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise RunError("no free port between 20000 and 32768 for the processes to meet at")


def _children(process: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(process).children()
    except psutil.NoSuchProcess:
        return []
    return children
