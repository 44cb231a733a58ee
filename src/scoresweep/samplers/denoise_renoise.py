"""Denoise and renoise: x ← Denoise(x; σ_i²) + √c σ_i z, with Denoise(x; σ²) = x + σ² s(x, σ).

A step removes noise of variance σ² and adds noise of variance c σ². With c = 2 it is Langevin
dynamics with η_i = σ_i², as lecture slides on score matching and generative diffusion write it; its
stationary law tends to that of the data as σ → 0: on N(0, s²) its variance is
2(s² + σ²)²/(2s² + σ²). The c that keeps the variance of q_σ lies between 1 and 2: on N(0, s²) it is
(2s² + σ²)/(s² + σ²).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.samplers.step_noise import independent_noise
from scoresweep.score import Score

__all__ = ["denoise_renoise", "schedule"]


def schedule(
    sigmas: Tensor, *, steps_per_level: int = 1, added_variance: float = 2.0, **_: object
) -> Tensor:
    """Return η_i = σ_i², (L,), float64.

    Raises:
        ValueError: if `steps_per_level` is below 1 or `added_variance` below 0.
    """
    if steps_per_level < 1:
        raise ValueError(f"steps_per_level must be 1 or more, found {steps_per_level}")
    if added_variance < 0:
        raise ValueError(f"added_variance must be 0 or more, found {added_variance:g}")
    return sigmas.double().cpu() ** 2


@torch.no_grad()
def denoise_renoise(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    steps_per_level: int = 1,
    added_variance: float = 2.0,
    denoise: bool = True,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Walk `x` down the ladder and return the samples, shape (N, ...), as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        steps_per_level: steps at each level.
        added_variance: c, the variance that is added, in units of σ_i².
        denoise: end with x + σ_L² s(x, σ_L), without noise.
        generator: source of the noise, on the device of `x`.
        observe: called after each level with its index (from 0), x, and the last score; x is reused
            afterwards, so it must be copied to be kept.

    Raises:
        ValueError: if an option is outside its range (see `schedule`).
    """
    schedule(sigmas, steps_per_level=steps_per_level, added_variance=added_variance)
    noise, factor = independent_noise(generator), math.sqrt(added_variance)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, sigma in enumerate(sigmas.tolist()):
        sigma_n = x.new_full((len(x),), sigma)
        for _ in range(steps_per_level):
            gradient = score(x, sigma_n)
            x.add_(gradient, alpha=sigma**2).add_(noise(z), alpha=factor * sigma)
        if observe is not None:
            observe(level, x, gradient)
    if denoise:
        x.add_(score(x, sigma_n), alpha=sigma**2)
    return x
