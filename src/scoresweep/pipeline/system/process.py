"""Computing processes: threads, float32 precision, memory allocation, and their end."""

from __future__ import annotations

import ctypes
import os
import threading
from multiprocessing import parent_process

__all__ = [
    "disable_tf32",
    "exit_with_parent",
    "process_exists",
    "retain_freed_memory",
    "set_up_process",
]

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Options of `mallopt` (malloc.h)."""
MALLOC_VARIABLES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""Environment variables by which users configure the same options."""


def set_up_process(threads: int) -> None:
    """Set the number of threads, disable TF32 and retain freed memory."""
    import torch

    torch.set_num_threads(threads)
    disable_tf32()
    retain_freed_memory()


def disable_tf32() -> None:
    """Make GPUs compute in full float32, as CPUs do.

    By default convolutions use TF32, which has a mantissa of 10 bits instead of 23.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def retain_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning it to the system.

    By default glibc maps each large buffer separately, and the system clears its pages each time,
    which took a fifth of a Langevin step on a CPU (docs/performance.md). Does nothing with another
    C library (macOS, musl), or if the environment configures malloc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt and not any(name in os.environ for name in MALLOC_VARIABLES):
        mallopt(MMAP_MAX, 0)  # disable separate maps
        mallopt(TRIM_THRESHOLD, -1)  # never shrink the heap


def exit_with_parent() -> None:
    """Exit when the parent process ends; otherwise this process would be orphaned."""
    parent = parent_process()
    assert parent is not None

    def wait_and_exit() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()


def process_exists(pid: int) -> bool:
    """Return whether a process of this host is alive.

    A zombie is not: in a container whose first process collects no children, it stays for ever.
    """
    import psutil  # here, so that the rest needs no package but PyTorch

    try:
        return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False
