"""Sum numbers over the processes of a training."""

from __future__ import annotations

import torch
from accelerate import Accelerator

__all__ = ["all_reduce_sum"]


def all_reduce_sum(accelerator: Accelerator, *values: float) -> list[float]:
    """Return the sum of each value over all processes; all must call this at the same step."""
    if accelerator.num_processes == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    total: list[float] = accelerator.reduce(tensor, reduction="sum").tolist()
    return total
