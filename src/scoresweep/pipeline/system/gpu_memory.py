"""Find the largest batch that fits on a GPU."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable

import torch

from scoresweep.out_of_memory import is_out_of_memory

__all__ = ["fits_on_gpu", "largest_fitting_size"]

REPEATS = 3
"""How many times a size must fit on a GPU: fragmentation leaves less memory the second time."""


def largest_fitting_size(fits: Callable[[int], bool], size: int) -> int:
    """Return the largest of `size`/2, `size`/4, … that `fits` with a quarter to spare, or 0."""
    while size := size // 2:
        if fits(size + size // 4):
            return size
    return 0


def fits_on_gpu(work: Callable[[], object]) -> bool:
    """Run `work`; return whether the GPU had enough memory for it, and free that memory."""
    gc.collect()
    torch.cuda.empty_cache()
    try:
        for _ in range(REPEATS):
            work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    return True
