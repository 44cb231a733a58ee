"""Random subsets of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.seeds import generator_for

__all__ = ["random_subset"]


def random_subset(available: int, count: int, *seed: int | str) -> Tensor:
    """Return the indices of `count` random samples, or of all if there are fewer."""
    return torch.randperm(available, generator=generator_for(*seed))[:count]
