"""Errors that say that there is no memory left."""

from __future__ import annotations

import torch

__all__ = ["is_out_of_memory"]

WORDS = ("not enough memory", "allocate memory", "out of memory", "bad_alloc", "ALLOC_FAILED")
"""What torch's `RuntimeError` says on a CPU, the system's own words, and those of cuBLAS."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` says that a GPU's or the machine's memory does not suffice.

    On a CPU, torch raises a plain `RuntimeError`. A process that the system kills raises nothing.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)
