"""Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1), with in-painting (Algorithm 2).

At each level i, from the largest to the smallest, T steps x ← x + η_i s(x, σ_i) + √(2η_i) z with
z ~ N(0, I). The optional denoising step x ← x + σ_L² s(x, σ_L) at the end gives the posterior mean
of the clean sample (Tweedie's formula).

In-painting: the known part y of a sample is set to y + σ_i z before each level and after each of
its steps, with one z for a level; in the denoised sample it is y itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from scoresweep.noise import step_size_by_technique_4
from scoresweep.sampler_limits import StepRule, check_annealed_langevin
from scoresweep.samplers.noise_sources import Noise, independent_noise
from scoresweep.samplers.step_sizes import step_sizes
from scoresweep.score import Score

__all__ = ["annealed_langevin", "level_step_sizes"]


def level_step_sizes(
    sigmas: Tensor,
    *,
    step_size: float | Literal["auto"],
    steps_per_level: int = 5,
    step_rule: StepRule = "variance",
    **_: object,
) -> Tensor:
    """Return η_1 … η_L, (L,), float64, for the options of `annealed_langevin`.

    Raises:
        ValueError: if the options do not fit the ladder (see `check_annealed_langevin`).
    """
    check_annealed_langevin(
        sigmas.tolist(), step_size=step_size, steps_per_level=steps_per_level, step_rule=step_rule
    )
    if step_size == "auto":
        step_size = step_size_by_technique_4(sigmas, steps_per_level)
    return step_sizes(step_rule, sigmas, step_size)


@torch.no_grad()
def annealed_langevin(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: float | Literal["auto"],
    steps_per_level: int = 5,
    step_rule: StepRule = "variance",
    denoise: bool = True,
    known: Tensor | None = None,
    mask: Tensor | None = None,
    noise: Noise | None = None,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return samples (N, ...) of annealed Langevin dynamics from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        step_size: ε, from which `step_rule` makes η_i (see `step_sizes`), or "auto" for NCSNv2's
            Technique 4 (`scoresweep.noise.step_size_by_technique_4`).
        steps_per_level: T, 1 or more.
        step_rule: "variance", "linear", "constant" or "denoise".
        denoise: end with the denoising step.
        known: for in-painting, samples (N, ...) of which a part is known.
        mask: for in-painting, bool, broadcast to (N, ...): True where `known` is known.
        noise: source of the noise of the steps; default: `independent_noise(generator)`.
        generator: source of random numbers, on the device of `x`.
        observe: called after each level with its index (from 0), x and the last score. x is
            overwritten by later steps: copy it to keep it.

    Raises:
        ValueError: if the options do not fit the ladder (see `check_annealed_langevin`), or only
            one of `known` and `mask` is given.
    """
    if (known is None) != (mask is None):
        raise ValueError("in-painting needs both known and mask, found only one of them")
    steps = level_step_sizes(
        sigmas, step_size=step_size, steps_per_level=steps_per_level, step_rule=step_rule
    ).tolist()
    ladder, noise = sigmas.tolist(), noise or independent_noise(generator)
    x = x.clone()
    # Contiguous whatever the layout of x, so that a generator always gives the same noise.
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, (sigma, step) in enumerate(zip(ladder, steps, strict=True)):
        sigma_batch = x.new_full((len(x),), sigma)
        if known is not None and mask is not None:
            noisy = known + sigma * z.normal_(generator=generator)
            x = torch.where(mask, noisy, x)
        for _ in range(steps_per_level):
            score_x = score(x, sigma_batch)
            x.add_(score_x, alpha=step).add_(noise(z), alpha=math.sqrt(2 * step))
            if mask is not None:
                x = torch.where(mask, noisy, x)
        if observe is not None:
            observe(level, x, score_x)
    if denoise:
        x.add_(score(x, sigma_batch), alpha=ladder[-1] ** 2)
        if known is not None and mask is not None:
            x = torch.where(mask, known, x)
    return x
