"""Recognising out-of-memory errors."""

from __future__ import annotations

import torch

__all__ = ["is_out_of_memory"]

MESSAGES = ("not enough memory", "allocate memory", "out of memory", "bad_alloc", "ALLOC_FAILED")
"""Parts of out-of-memory messages of torch on a CPU, the operating system and cuBLAS."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that GPU or main memory is exhausted.

    On a CPU, torch raises a plain `RuntimeError`. A process killed by the system raises nothing.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in MESSAGES)
