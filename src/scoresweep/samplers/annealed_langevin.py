"""Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1), with in-painting (Algorithm 2).

At each level i, T times: x ← x + η_i s(x, σ_i) + √(2η_i) z with z ~ N(0, I), the levels from the
largest to the smallest; at the end, if asked for, the denoising step x ← x + σ_L² s(x, σ_L), which
is the posterior mean of the clean sample (Tweedie's formula).

In-painting: where a part y of the sample is known, that part of x is set to y + σ_i z, with one z
for a level, before a level and after each of its steps; the denoised sample has y itself there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from scoresweep.noise import step_size_by_technique_4
from scoresweep.samplers.step_noise import Noise, independent_noise
from scoresweep.samplers.step_sizes import StepRule, step_sizes
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
        ValueError: if the step size is not positive or makes the walk diverge (see `step_sizes`),
            there is no step at a level, or "auto" is asked for with another rule than "variance".
    """
    if steps_per_level < 1:
        raise ValueError(f"steps_per_level must be 1 or more, found {steps_per_level}")
    if step_size == "auto":
        if step_rule != "variance":
            raise ValueError(f"step_size 'auto' is for the rule 'variance', found {step_rule!r}")
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
    """Walk `x` down the ladder and return the samples, shape (N, ...), as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        step_size: ε, of which `step_rule` makes η_i (see `step_rules`); "auto": NCSNv2's
            Technique 4 (`step_size_for`).
        steps_per_level: T.
        step_rule: "variance", "linear", "constant" or "denoise".
        denoise: end with the denoising step.
        known: for in-painting, samples (N, ...) of which a part is known.
        mask: bool, broadcast to (N, ...): True where `known` is known.
        noise: source of the noise of the steps; where None, `independent(generator)`.
        generator: source of the noise, on the device of `x`.
        observe: called after each level with its index (from 0), x, and the last score; x is reused
            afterwards, so it must be copied to be kept.

    Raises:
        ValueError: if an option is outside its range on this ladder (see `level_step_sizes`), or
        only one
            of `known` and `mask` is given.
    """
    if (known is None) != (mask is None):
        raise ValueError("in-painting needs both known and mask")
    steps = level_step_sizes(
        sigmas, step_size=step_size, steps_per_level=steps_per_level, step_rule=step_rule
    ).tolist()
    ladder, noise = sigmas.tolist(), noise or independent_noise(generator)
    x = x.clone()
    # One layout whatever that of x, so that the same generator gives the same noise.
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, (sigma, step) in enumerate(zip(ladder, steps, strict=True)):
        sigma_n = x.new_full((len(x),), sigma)
        if known is not None and mask is not None:
            noisy = known + sigma * z.normal_(generator=generator)
            x = torch.where(mask, noisy, x)
        for _ in range(steps_per_level):
            gradient = score(x, sigma_n)
            x.add_(gradient, alpha=step).add_(noise(z), alpha=math.sqrt(2 * step))
            if mask is not None:
                x = torch.where(mask, noisy, x)
        if observe is not None:
            observe(level, x, gradient)
    if denoise:
        x.add_(score(x, sigma_n), alpha=ladder[-1] ** 2)
        if known is not None and mask is not None:
            x = torch.where(mask, known, x)
    return x
