"""Whether the numbers that hold positions are fine enough for the last steps of a walk.

A number of size |x| is rounded to a multiple of its spacing h: in float32 7.6e-6 at 100. The drift
of a Langevin step at the last level is about η_L/σ_L. Below h/2 it is rounded away while the noise
is not, and the variance grows. Simulated on data of one point, with x + η s and √(2η) z rounded in
turn: from η_L/σ_L = h/2 on, the variance is at most 7 % too large; at h/3 it is 13 to 31 %, at h/5
two or three times as large.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["last_move", "spacing"]


def spacing(x: Tensor) -> float:
    """Return the spacing h of the numbers that hold `x` (N, ...), in the units of `x`.

    It is that at the mean size of the feature that is farthest from the origin.
    """
    size = float(x.flatten(1).abs().mean(dim=0, dtype=torch.float64).max())
    if size == 0:
        return 0.0
    return math.ldexp(torch.finfo(x.dtype).eps, math.frexp(size)[1] - 1)


def last_move(sigmas: Tensor, steps: Tensor) -> float:
    """Return how far a step at the last level moves x where the data is narrower than the noise.

    That is η_L/σ_L. Without Langevin steps (η is NaN) it is the distance to the level before, which
    the step to the last level covers, or σ_L if that is the only level.

    Args:
        sigmas: the levels, (L,).
        steps: η of each level, (L,).
    """
    last, step = float(sigmas[-1]), float(steps[-1])
    if not math.isnan(step):
        return step / last
    return last if len(sigmas) == 1 else float(sigmas[-2]) - last
