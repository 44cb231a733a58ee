"""How a process that computes is set up: threads, float32, and memory that it has freed."""

from __future__ import annotations

import ctypes
import os
import threading
from multiprocessing import parent_process

import torch

__all__ = [
    "disable_tf32",
    "exit_with_parent",
    "retain_freed_memory",
    "set_up_process",
]

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""The numbers of two options of `mallopt` (malloc.h)."""
OWN_CHOICE = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""Variables by which a person has already said what glibc is to do."""


def set_up_process(threads: int) -> None:
    """Compute with `threads` threads, in true float32, and keep memory for what comes next."""
    torch.set_num_threads(threads)
    disable_tf32()
    retain_freed_memory()


def disable_tf32() -> None:
    """Let GPUs compute in float32 as CPUs do.

    By default convolutions are rounded to TF32, which has 10 bits in place of 23.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def retain_freed_memory() -> None:
    """Let the next step on a CPU have the memory that this one frees.

    glibc asks the system for each large buffer, and gives it back when it is freed; the system then
    clears each page of the next one, which was a fifth of a Langevin step
    (docs/performance.md). Where the C library is another, or a person has chosen otherwise in the
    environment, nothing is changed.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option and not any(name in os.environ for name in OWN_CHOICE):
        option(MMAP_MAX, 0)  # take no buffer from the system alone,
        option(TRIM_THRESHOLD, -1)  # and give none back


def exit_with_parent() -> None:
    """End this process when the one that started it is killed: nobody would ever stop it."""
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
