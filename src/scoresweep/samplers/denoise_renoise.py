"""Denoise and renoise: x ← Denoise(x; σ_i²) + √c σ_i z, with Denoise(x; σ²) = x + σ² s(x, σ).

A step removes noise of variance σ² and adds noise of variance c σ². With c = 2 it is Langevin
dynamics with η_i = σ_i², a form found in lecture slides on score matching and diffusion. Its
stationary distribution tends to the data distribution as σ → 0: on N(0, s²) its variance is
2(s² + σ²)²/(2s² + σ²). The c that keeps the variance of q_σ is between 1 and 2: on N(0, s²) it is
(2s² + σ²)/(s² + σ²).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.sampler_limits import check_denoise_renoise
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.score import Score

__all__ = ["denoise_renoise", "level_step_sizes"]


def level_step_sizes(sigmas: Tensor, **_: object) -> Tensor:
    """Return η_i = σ_i², (L,), float64."""
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
    """Return samples (N, ...) of denoising and renoising from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        steps_per_level: number of steps at each level, 1 or more.
        added_variance: variance c of the noise that is added, in units of σ_i², 0 or more.
        denoise: end with x + σ_L² s(x, σ_L), without noise.
        generator: source of random numbers, on the device of `x`.
        observe: called after each level with its index (from 0), x and the last score. x is
            overwritten by later steps: copy it to keep it.

    Raises:
        ValueError: if an option is outside its range (see `check_denoise_renoise`).
    """
    check_denoise_renoise(steps_per_level=steps_per_level, added_variance=added_variance)
    noise, factor = independent_noise(generator), math.sqrt(added_variance)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, sigma in enumerate(sigmas.tolist()):
        sigma_batch = x.new_full((len(x),), sigma)
        for _ in range(steps_per_level):
            score_x = score(x, sigma_batch)
            x.add_(score_x, alpha=sigma**2).add_(noise(z), alpha=factor * sigma)
        if observe is not None:
            observe(level, x, score_x)
    if denoise:
        x.add_(score(x, sigma_batch), alpha=sigma**2)
    return x
