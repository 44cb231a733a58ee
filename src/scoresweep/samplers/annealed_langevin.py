"""Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1).

At each level i, T times: x ← x + η_i s(x, σ_i) + √(2η_i) z with z ~ N(0, I), the levels from the
largest to the smallest; at the end, if asked for, the denoising step x ← x + σ_L² s(x, σ_L), which
is the posterior mean of the clean sample (Tweedie's formula).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.samplers.step_rules import StepRule, step_sizes
from scoresweep.score import Score

__all__ = ["annealed_langevin"]


@torch.no_grad()
def annealed_langevin(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: float,
    steps_per_level: int = 5,
    step_rule: StepRule = "variance",
    denoise: bool = True,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Walk `x` down the ladder and return the samples, shape (N, ...), as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        step_size: ε, of which `step_rule` makes η_i (see `step_rules`).
        steps_per_level: T.
        step_rule: "variance", "linear", "constant" or "denoise".
        denoise: end with the denoising step.
        generator: source of the noise, on the device of `x`.
        observe: called after each level with its index (from 0), x, and the last score; x is reused
            afterwards, so it must be copied to be kept.

    Raises:
        ValueError: if the step size is not positive or makes the walk diverge (see `step_sizes`).
    """
    steps = step_sizes(step_rule, sigmas, step_size).tolist()
    ladder = sigmas.tolist()
    x = x.clone()
    # One layout whatever that of x, so that the same generator gives the same noise.
    noise = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, (sigma, step) in enumerate(zip(ladder, steps, strict=True)):
        sigma_n = x.new_full((len(x),), sigma)
        for _ in range(steps_per_level):
            gradient = score(x, sigma_n)
            noise.normal_(generator=generator)
            x.add_(gradient, alpha=step).add_(noise, alpha=math.sqrt(2 * step))
        if observe is not None:
            observe(level, x, gradient)
    if denoise:
        x.add_(score(x, sigma_n), alpha=ladder[-1] ** 2)
    return x
