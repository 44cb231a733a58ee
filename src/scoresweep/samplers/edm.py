"""The stochastic sampler of EDM (Karras et al. 2022, "Elucidating the design space of
diffusion-based generative models", https://arxiv.org/abs/2206.00364, Algorithm 2).

At each level i of L the noise is first raised from σ_i to σ̂_i (churn),

    x ← x + √(σ̂_i² − σ_i²) S_noise z,   σ̂_i = (1 + γ) σ_i,   γ = min(S_churn/L, √2 − 1),

if S_min ≤ σ_i ≤ S_max, otherwise σ̂_i = σ_i. Then one step of Heun's method leads to σ_{i+1}. It
solves the probability-flow ODE in one of two time variables (Table 1 of the paper):

    sigma      t = σ     dx/dt = −σ s(x, σ)    "EDM"
    variance   t = σ²    dx/dt = −s(x, σ)/2    "VE": the diffusion σ(t) = √t

The last step is Euler's step to σ = 0. In time σ it is the denoising step x + σ̂_L² s; in time σ² it
is x + σ̂_L² s/2. The time steps of the paper are ladders: EDM's is `karras` with ρ = 7, VE's is
`geometric`. Without churn and in time σ, this is `probability_flow` with Heun's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scoresweep.sampler_limits import Time, check_edm
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.samplers.step_sizes import last_level_only
from scoresweep.score import Score

__all__ = ["edm", "level_step_sizes", "raised_levels"]


def level_step_sizes(sigmas: Tensor, **options: Any) -> Tensor:
    """Return NaN for each level, (L,), float64: there is no Langevin step.

    Raises:
        ValueError: if the options do not fit the ladder (see `check_edm`).
    """
    check_edm(sigmas.tolist(), **options)
    return last_level_only(sigmas)


def raised_levels(
    sigmas: list[float], s_churn: float, s_min: float, s_max: float | None
) -> list[float]:
    """Return σ̂_1 … σ̂_L, the levels after churn."""
    factor = 1 + min(s_churn / len(sigmas), math.sqrt(2) - 1)
    highest = math.inf if s_max is None else s_max
    return [sigma * factor if s_min <= sigma <= highest else sigma for sigma in sigmas]


@torch.no_grad()
def edm(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    s_churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float | None = None,
    s_noise: float = 1.0,
    time: Time = "sigma",
    denoise: bool = True,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return samples (N, ...) of EDM's stochastic sampler from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        s_churn: S_churn, 0 or more; 0: no noise is added.
        s_min: smallest level with churn, 0 or more, in units of the data.
        s_max: largest level with churn; None: no limit.
        s_noise: S_noise, the factor of the noise, above 0.
        time: "sigma" or "variance", the variable in which Heun's method steps.
        denoise: end with Euler's step to σ = 0; otherwise with a sample of level σ_L.
        generator: source of random numbers, on the device of `x`.
        observe: called at each level with its index (from 0), x before churn, and the score after
            churn times σ̂_i/σ_i, so that its product with σ_i is σ̂_i s(x̂, σ̂_i), which has unit
            size. x is overwritten by later steps: copy it to keep it.

    Raises:
        ValueError: if the options do not fit the ladder (see `check_edm`).
    """
    ladder, noise = sigmas.tolist(), independent_noise(generator)
    check_edm(
        ladder,
        s_churn=s_churn,
        s_min=s_min,
        s_max=s_max,
        s_noise=s_noise,
        time=time,
        denoise=denoise,
    )
    raised = raised_levels(ladder, s_churn, s_min, s_max)
    if not denoise:
        raised[-1] = ladder[-1]  # the result has the noise of σ_L
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, sigma in enumerate(raised):
        before = x
        if sigma > ladder[level]:
            x = x.add(noise(z), alpha=s_noise * math.sqrt(sigma**2 - ladder[level] ** 2))
        score_x = score(x, x.new_full((len(x),), sigma))
        if observe is not None:
            observe(level, before, score_x * (sigma / ladder[level]))
        if level + 1 < len(ladder):
            following = ladder[level + 1]
            first, second = _heun_weights(sigma, following, time)
            ahead = x + 2 * first * score_x
            x.add_(score_x, alpha=first)
            x.add_(score(ahead, x.new_full((len(x),), following)), alpha=second)
    if denoise:
        x.add_(score_x, alpha=2 * _heun_weights(sigma, 0.0, time)[0])
    return x


def _heun_weights(sigma: float, following: float, time: Time) -> tuple[float, float]:
    """Return the weights of the scores at `sigma` and `following` in a step of Heun's method.

    Euler's step has twice the first.
    """
    if time == "variance":
        weight = (sigma**2 - following**2) / 4
        return weight, weight
    half = (sigma - following) / 2
    return sigma * half, following * half
