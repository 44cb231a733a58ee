"""Work that may take more memory than there is, tried out in a process of its own."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.system.memory_available import memory_available
from scoresweep.pipeline.system.process import exit_with_parent

__all__ = ["START", "can_try", "fits"]

SPARE = 0.2
"""Share of the room that has to be left: later steps take somewhat more than the first."""

FLOOR = 2**27
"""Bytes available on the machine below which nothing is tried further, whoever takes them."""

START = 3 * 2**27
"""Bytes set aside for what a process takes before its work begins: Python and PyTorch."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""What ends or stops a job."""

KILLED = (-signal.SIGKILL, -signal.SIGABRT)
"""How a process ends that gets no memory: by the system, or by C++ that can do nothing else."""

PAUSE = 0.02
"""Seconds between two looks at the memory of the process."""


def can_try() -> bool:
    """Tell whether there is memory for a process that tries anything out."""
    return memory_available() >= START + FLOOR


def fits(work: Callable[[], object], room: int) -> bool:
    """Do `work` in a new process; return whether it left a fifth of `room`, in bytes.

    A system that runs out of memory kills a process without a word, so this one is killed before.
    `work` is pickled, and what it needs is imported before it begins. Where it fails for another
    reason than memory, or cannot be tried, it counts as fitting: whoever does it in earnest will
    tell.
    """
    if not can_try():
        return True
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, there), daemon=True)
    # Signals are for this process, which goes on; the new one inherits the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    try:
        return _watch(process, here, int((1 - SPARE) * room))
    finally:
        process.kill()
        process.join()
        here.close()


def _do(work: Callable[[], object], there: Connection) -> None:
    exit_with_parent()
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
    except (EOFError, psutil.NoSuchProcess):
        process.join()
        return process.exitcode not in KILLED
