"""Work that may take more memory than there is, tried out in a process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from scoresweep.memory import is_out_of_memory
from scoresweep.pipeline.machine import memory_available

__all__ = ["fits"]

SPARE = 0.2
"""Share of what is available that has to be left: later steps take somewhat more than the first."""

FLOOR = 2**27
"""Bytes available on the machine below which nothing is tried further, whoever takes them."""

START = 3 * 2**27
"""Bytes that a process takes before its work begins: with PyTorch for CPUs 300 MiB."""

PAUSE = 0.02
"""Seconds between two looks at the memory of the process."""


def fits(work: Callable[[], object], processes: int) -> bool:
    """Do `work` in a new process; return whether a fifth of the available memory was left.

    A system that runs out of memory kills a process without a word, so this one is killed before.
    What is available is shared by so many `processes`. `work` is pickled, and what it needs is
    imported before it begins. Where it fails for another reason than memory it counts as fitting:
    whoever does it in earnest will tell.
    """
    room = int((1 - SPARE) * memory_available()) // processes
    if memory_available() < START + FLOOR:
        return False
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, there), daemon=True)
    process.start()
    there.close()
    try:
        return _watch(process, here, room)
    finally:
        process.kill()
        process.join()


def _do(work: Callable[[], object], there: Connection) -> None:
    there.send(psutil.Process().memory_info().rss)  # all is imported
    fitting = True
    with contextlib.suppress(Exception):
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            fitting = not is_out_of_memory(error)
    there.send((fitting, _highest()))


def _highest() -> int:
    """Return the most bytes that this process had at once, where the system tells; else 0."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def _watch(process: BaseProcess, here: Connection, room: int) -> bool:
    """Wait for the work to end; return whether it did, within `room` bytes more than at first."""
    try:
        most, watched = here.recv() + room, psutil.Process(process.pid)
        while not here.poll(PAUSE):
            if watched.memory_info().rss > most or memory_available() < FLOOR:
                return False
        fitting, highest = here.recv()
        return bool(fitting and highest <= most)
    except (EOFError, psutil.NoSuchProcess):  # somebody has killed it
        return False
