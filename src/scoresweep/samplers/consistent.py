"""Consistent annealed sampling (Jolicoeur-Martineau et al. 2020, "Adversarial score matching and
improved sampling for image generation", Algorithm 2).

With a = ε/σ_L² and γ_i = σ_{i+1}/σ_i, one step at each level:

    x ← x + a σ_i² s(x, σ_i) + σ_{i+1} √(1 − ((1−a)/γ_i)²) z,   and no noise at the last level.

Where the data is one point y, s = (y − x)/σ² and a step leaves (1−a)² σ_i² of the variance σ_i²:
the noise that is added makes it σ_{i+1}² exactly. That needs |1−a| < γ_i, that is
σ_L² (1−γ) < ε < σ_L² (1+γ), at every level.

The state that the last step starts from has noise of σ_L, that after it (1−a) σ_L. The denoising
step x + σ_L² s(x, σ_L) is taken from the second ("after_last_step": Algorithm 2 of the paper, then
the denoising step of NCSNv2), or from the first ("before_last_step", as the authors' program does,
https://github.com/AlexiaJM/AdversarialConsistentScoreMatching). On one point both give that point.
On N(0, s²) the variance v before the last step becomes (s²/(s² + σ_L²))² v from before it, and
(1 − aσ_L²/(s² + σ_L²))² times as much from after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from scoresweep.samplers.step_noise import independent_noise
from scoresweep.score import Score

__all__ = ["consistent", "refine_levels", "schedule"]

DenoiseFrom = Literal["after_last_step", "before_last_step"]


def refine_levels(sigmas: Tensor, steps_per_level: int) -> Tensor:
    """Return the ladder with each of its steps cut into equal factors, float64 on the CPU.

    Of L levels come (L−1)·`steps_per_level` + 1.
    """
    logs = sigmas.double().cpu().log()
    if steps_per_level == 1:
        return sigmas.double().cpu()
    parts = torch.arange(steps_per_level, dtype=torch.float64) / steps_per_level
    between = logs[:-1, None] + (logs[1:] - logs[:-1])[:, None] * parts
    return torch.cat([between.flatten(), logs[-1:]]).exp()


def schedule(sigmas: Tensor, *, step_size: float, steps_per_level: int = 1, **_: object) -> Tensor:
    """Return η_i = ε σ_i²/σ_L², (L,), float64.

    Raises:
        ValueError: if ε is outside σ_L²(1−γ) < ε < σ_L²(1+γ), γ the least ratio of neighbours in
            the refined ladder, or `steps_per_level` is below 1.
    """
    if steps_per_level < 1:
        raise ValueError(f"steps_per_level must be 1 or more, found {steps_per_level}")
    ladder = refine_levels(sigmas, steps_per_level)
    gamma = float((ladder[1:] / ladder[:-1]).min()) if len(ladder) > 1 else 1.0
    variance = float(ladder[-1]) ** 2
    if not variance * (1 - gamma) < step_size < variance * (1 + gamma):
        raise ValueError(
            f"step_size {step_size:g} is not valid for consistent sampling on this ladder: it must "
            f"be between sigma_min²·(1 − gamma) = {variance * (1 - gamma):.4g} and "
            f"sigma_min²·(1 + gamma) = {variance * (1 + gamma):.4g}, gamma = {gamma:.4g} the least "
            f"ratio of neighbouring levels"
        )
    return step_size * (sigmas.double().cpu() / float(ladder[-1])) ** 2


@torch.no_grad()
def consistent(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: float,
    steps_per_level: int = 1,
    denoise: bool = True,
    denoise_from: DenoiseFrom = "after_last_step",
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Walk `x` down the ladder and return the samples, shape (N, ...), as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        step_size: ε.
        steps_per_level: n_σ: the ladder is refined to so many steps from each level to the next.
        denoise: end with x + σ_L² s(x, σ_L).
        denoise_from: the state x of that step; "before_last_step" leaves the last step out.
        generator: source of the noise, on the device of `x`.
        observe: called at each level with its index (from 0), x before its first step, and the
            score there; x is reused afterwards, so it must be copied to be kept.

    Raises:
        ValueError: if an option is outside its range on this ladder (see `schedule`).
    """
    schedule(sigmas, step_size=step_size, steps_per_level=steps_per_level)
    ladder = refine_levels(sigmas, steps_per_level).tolist()
    a, noise = step_size / ladder[-1] ** 2, independent_noise(generator)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for i, sigma in enumerate(ladder):
        sigma_n = x.new_full((len(x),), sigma)
        gradient = score(x, sigma_n)
        if observe is not None and i % steps_per_level == 0:
            observe(i // steps_per_level, x, gradient)
        if denoise and denoise_from == "before_last_step" and i + 1 == len(ladder):
            return x.add_(gradient, alpha=sigma**2)
        x.add_(gradient, alpha=a * sigma**2)
        if i + 1 < len(ladder):
            following = ladder[i + 1]
            x.add_(noise(z), alpha=math.sqrt(following**2 - ((1 - a) * sigma) ** 2))
    if denoise:
        x.add_(score(x, sigma_n), alpha=ladder[-1] ** 2)
    return x
