"""How a process that computes is set up: its threads, and what it does with memory it has freed."""

from __future__ import annotations

import ctypes

import torch

__all__ = ["give_memory_back", "keep_freed_memory", "set_up_process"]

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""The numbers of two options of `mallopt` (malloc.h)."""


def set_up_process(threads: int) -> None:
    """Compute with `threads` threads, and keep memory that is freed for what comes next."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let the next step on a CPU have the memory that this one frees.

    glibc asks the system for each large buffer, and gives it back when it is freed; the system then
    clears each page of the next one, which can take a third of a step (docs/performance.md). Where
    the C library is another, nothing is changed.
    """
    if option := _glibc("mallopt"):
        option(MMAP_MAX, 0)  # take no buffer from the system alone,
        option(TRIM_THRESHOLD, -1)  # and give none back


def give_memory_back() -> None:
    """Give the memory that is kept and not in use back to the system."""
    if trim := _glibc("malloc_trim"):
        trim(0)


def _glibc(name: str) -> ctypes._NamedFuncPointer | None:
    """Return a function of the C library, if it has it."""
    return getattr(ctypes.CDLL(None), name, None)
