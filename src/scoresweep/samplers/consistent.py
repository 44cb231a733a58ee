"""Consistent annealed sampling (Jolicoeur-Martineau et al. 2020, "Adversarial score matching and
improved sampling for image generation", Algorithm 2).

With a = ε/σ_L² and γ_i = σ_{i+1}/σ_i, one step at each level:

    x ← x + a σ_i² s(x, σ_i) + σ_{i+1} √(1 − ((1−a)/γ_i)²) z,   and no noise at the last level.

If the data are one point y, s = (y − x)/σ², and a step reduces the variance from σ_i² to
(1−a)² σ_i²; the added noise makes it exactly σ_{i+1}². That needs |1−a| < γ_i at every level, that
is σ_L² (1−γ) < ε < σ_L² (1+γ) with γ the smallest γ_i.

The state before the last step has noise of σ_L, the state after it (1−a) σ_L. The denoising step
x + σ_L² s(x, σ_L) starts from the state after it ("after_last_step": Algorithm 2 of the paper, then
the denoising step of NCSNv2) or before it ("before_last_step", as the authors' program does,
https://github.com/AlexiaJM/AdversarialConsistentScoreMatching). On one point both give that point.
On N(0, s²), with variance v before the last step, "before_last_step" gives (s²/(s² + σ_L²))² v, and
"after_last_step" (1 − aσ_L²/(s² + σ_L²))² times that.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.sampler_limits import DenoiseFrom, check_consistent
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.score import Score

__all__ = ["consistent", "level_step_sizes", "refine_levels"]


def refine_levels(sigmas: Tensor, steps_per_level: int) -> Tensor:
    """Return `sigmas` (L,) refined by equal factors: ((L−1)·`steps_per_level` + 1,), float64."""
    logs = sigmas.double().cpu().log()
    if steps_per_level == 1:
        return sigmas.double().cpu()
    parts = torch.arange(steps_per_level, dtype=torch.float64) / steps_per_level
    between = logs[:-1, None] + (logs[1:] - logs[:-1])[:, None] * parts
    return torch.cat([between.flatten(), logs[-1:]]).exp()


def level_step_sizes(
    sigmas: Tensor, *, step_size: float, steps_per_level: int = 1, **_: object
) -> Tensor:
    """Return η_i = ε σ_i²/σ_L², (L,), float64.

    Raises:
        ValueError: if ε is outside its range on this ladder (see `check_consistent`).
    """
    check_consistent(sigmas.tolist(), step_size=step_size, steps_per_level=steps_per_level)
    ladder = refine_levels(sigmas, steps_per_level)
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
    """Return samples (N, ...) of consistent annealed sampling from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        step_size: ε.
        steps_per_level: n_σ, the number of steps from each level to the next, 1 or more.
        denoise: end with x + σ_L² s(x, σ_L).
        denoise_from: the state x of that step; "before_last_step" skips the last step.
        generator: source of random numbers, on the device of `x`.
        observe: called at each level with its index (from 0), x before its first step and the score
            there. x is overwritten by later steps: copy it to keep it.

    Raises:
        ValueError: if an option is outside its range on this ladder (see `check_consistent`).
    """
    check_consistent(
        sigmas.tolist(),
        step_size=step_size,
        steps_per_level=steps_per_level,
        denoise_from=denoise_from,
    )
    ladder = refine_levels(sigmas, steps_per_level).tolist()
    a, noise = step_size / ladder[-1] ** 2, independent_noise(generator)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for i, sigma in enumerate(ladder):
        sigma_batch = x.new_full((len(x),), sigma)
        score_x = score(x, sigma_batch)
        if observe is not None and i % steps_per_level == 0:
            observe(i // steps_per_level, x, score_x)
        if denoise and denoise_from == "before_last_step" and i + 1 == len(ladder):
            return x.add_(score_x, alpha=sigma**2)
        x.add_(score_x, alpha=a * sigma**2)
        if i + 1 < len(ladder):
            next_sigma = ladder[i + 1]
            x.add_(noise(z), alpha=math.sqrt(next_sigma**2 - ((1 - a) * sigma) ** 2))
    if denoise:
        x.add_(score(x, sigma_batch), alpha=ladder[-1] ** 2)
    return x
