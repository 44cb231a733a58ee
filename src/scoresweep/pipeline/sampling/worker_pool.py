"""Draw chunks in several processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event

import torch

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.sampling.chunk_files import chunk_path
from scoresweep.pipeline.sampling.chunks import draw_chunks
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.system.file_cache import keep_loaded
from scoresweep.pipeline.system.memory_errors import describe_exit
from scoresweep.pipeline.system.process import exit_with_parent

__all__ = ["draw_in_processes"]

START_METHOD = "spawn"
"""How workers start; a forked process cannot use CUDA."""

_stopping: Event
"""Set in every worker to stop after the current chunk."""

_until_exit = contextlib.ExitStack()
"""Of a worker; never closed."""

_kept: list[Workers] | None = None
"""The workers to use again, at most one group; None: none are kept."""


class Workers:
    """Processes that draw chunks, each on a device of its own."""

    def __init__(self, processes: int) -> None:
        """Start no process yet: each starts when its first chunks are submitted."""
        context = multiprocessing.get_context(START_METHOD)
        self._stopping = context.Event()
        initial = (context, _start_worker, (self._stopping, _kept is not None))
        self._pools = [ProcessPoolExecutor(1, *initial) for _ in range(processes)]
        self.processes = processes

    def submit(self, job: SamplingJob, chunks: list[int]) -> set[Future[None]]:
        """Share out `chunks`."""
        devices, count = job.devices, job.devices.processes
        shares = [(chunks[i::count], devices.of_process(i)) for i in range(count)]
        pools, pickled = self._pools[:count], pickle.dumps(job)
        return {p.submit(_draw_share, pickled, *s) for p, s in zip(pools, shares, strict=True)}

    def close(self) -> None:
        """Stop after the current chunks."""
        self._stopping.set()
        for pool in self._pools:
            pool.shutdown()


@contextlib.contextmanager
def keep_workers() -> Iterator[None]:
    """Within this block, `draw_in_processes` uses the same processes for every setting."""
    global _kept
    _kept = []
    try:
        yield
    finally:
        kept, _kept = _kept, None
        for workers in kept:
            workers.close()


@contextlib.contextmanager
def _workers(processes: int) -> Iterator[Workers]:
    """Use kept workers, or new ones; after an error they are not kept."""
    kept = _kept.pop() if _kept else None
    if kept and kept.processes < processes:
        kept.close()
        kept = None
    workers = kept or Workers(processes)
    with contextlib.ExitStack() as stack:
        stack.callback(workers.close)
        yield workers
        if _kept is not None:
            stack.pop_all()
            _kept.append(workers)


def draw_in_processes(job: SamplingJob, chunks: list[int]) -> Iterator[int]:
    """Draw `chunks`; yield the number of finished chunks every second and at the end.

    Raises `RunError` if a process is killed, and the error of the first process that fails.
    """
    if job.devices.processes == 1 or len(chunks) < 2:
        yield from draw_chunks(job, chunks, job.devices.of_process(0))
        return
    started: list[BaseProcess] = []
    try:
        with _workers(job.devices.processes) as workers:
            shares = workers.submit(job, chunks)
            started += multiprocessing.active_children()
            yield from _wait(job, chunks, shares)
    except BrokenProcessPool:
        codes = [process.exitcode for process in started]
        code = next((code for code in codes if code not in (None, 0, -signal.SIGTERM)), None)
        raise RunError(
            f"{job}: {describe_exit('sample', code)} Finished chunks are kept: run the same "
            f"command again"
        ) from None


def _wait(job: SamplingJob, chunks: list[int], shares: set[Future[None]]) -> Iterator[int]:
    while shares:
        finished, shares = wait(shares, timeout=1, return_when=FIRST_EXCEPTION)
        for share in finished:
            share.result()
        yield sum(chunk_path(job, chunk).exists() for chunk in chunks)


def _start_worker(stopping: Event, is_kept: bool) -> None:
    global _stopping
    _stopping = stopping
    if is_kept:
        _until_exit.enter_context(keep_loaded())
    exit_with_parent()


def _draw_share(pickled: bytes, chunks: list[int], device: str) -> None:
    """Draw `chunks` of a job in this worker until another worker fails.

    The job is unpickled here, so that an error of a plugin is reported like any other.
    """
    job: SamplingJob = pickle.loads(pickled)
    for _ in draw_chunks(job, chunks, device):
        if _stopping.is_set():
            return
    if job.devices.gpus:
        torch.cuda.empty_cache()  # for the measurements, while this process waits
