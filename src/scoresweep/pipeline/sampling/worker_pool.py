"""Draw chunks in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.sampling.chunk_files import chunk_path
from scoresweep.pipeline.sampling.chunks import draw_chunks
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.system.memory_errors import describe_exit
from scoresweep.pipeline.system.process import exit_with_parent

__all__ = ["draw_in_processes"]

START_METHOD = "spawn"
"""How workers start; a forked process cannot use CUDA."""

_stopping: Event
"""Set in every worker to stop after the current chunk."""


def draw_in_processes(job: SamplingJob, chunks: list[int]) -> Iterator[int]:
    """Draw `chunks`; yield the number of finished chunks every second and at the end.

    Raises `RunError` if a process is killed, and the error of the first process that fails.
    """
    if job.processes == 1 or len(chunks) < 2:
        yield from draw_chunks(job, chunks, job.device())
        return
    context = multiprocessing.get_context(START_METHOD)
    stopping = context.Event()
    workers: list[BaseProcess] = []
    try:
        with ProcessPoolExecutor(job.processes, context, _start_worker, (stopping,)) as pool:
            shares = {
                pool.submit(_draw_share, job, chunks[i :: job.processes], job.device(i))
                for i in range(job.processes)
            }
            workers += multiprocessing.active_children()
            try:
                yield from _wait(job, chunks, shares)
            finally:
                stopping.set()
    except BrokenProcessPool:
        codes = [worker.exitcode for worker in workers]
        # The pool ends the other workers with SIGTERM.
        code = next((code for code in codes if code not in (0, -signal.SIGTERM)), None)
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


def _start_worker(stopping: Event) -> None:
    global _stopping
    _stopping = stopping
    exit_with_parent()


def _draw_share(job: SamplingJob, chunks: list[int], device: str) -> None:
    """Draw `chunks` in this worker until another worker fails."""
    for _ in draw_chunks(job, chunks, device):
        if _stopping.is_set():
            return
