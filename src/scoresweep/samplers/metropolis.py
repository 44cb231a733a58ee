"""The Metropolis algorithm on the energy u(x) = −log q_σ(x), at one level, the ladder's last.

A proposal x̃ with density k(x̃ | x) is accepted with probability
min(1, exp(u(x) − u(x̃)) · k(x | x̃)/k(x̃ | x)). This leaves q_σ invariant for every step size, whereas
Langevin dynamics is biased.

    random_walk   x̃ = x + √(2η) z: k is symmetric and cancels (Metropolis et al. 1953; lecture
                  slides on score matching and generative diffusion)
    langevin      x̃ = x + η s(x, σ) + √(2η) z, the Metropolis-adjusted Langevin algorithm
                  (Roberts and Tweedie 1996)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scoresweep.sampler_limits import Proposal, check_metropolis
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.samplers.step_sizes import last_level_only
from scoresweep.score import Score, expand_sigma, has_log_density

__all__ = ["level_step_sizes", "metropolis"]


def level_step_sizes(sigmas: Tensor, *, step_size: float, **options: Any) -> Tensor:
    """Return η at the last level and NaN at the others, (L,), float64.

    Raises:
        ValueError: if an option is outside its range (see `check_metropolis`).
    """
    check_metropolis(step_size=step_size, **options)
    return last_level_only(sigmas, step_size)


@torch.no_grad()
def metropolis(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    step_size: float,
    steps: int,
    proposal: Proposal = "random_walk",
    denoise: bool = True,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return samples (N, ...) of the Metropolis algorithm from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data, with `log_density(x, sigma) -> (N,)`.
        x: starting points, (N, ...).
        sigmas: the ladder, (L,); only σ_L is used.
        step_size: η, above 0.
        steps: number of proposals, 1 or more.
        proposal: "random_walk" or "langevin".
        denoise: end with x + σ_L² s(x, σ_L).
        generator: source of random numbers, on the device of `x`.
        observe: called once, with L − 1, x after the last proposal and the score there.

    Raises:
        ValueError: if an option is outside its range (see `check_metropolis`), or the score has no
            `log_density`.
    """
    check_metropolis(step_size=step_size, steps=steps, proposal=proposal)
    if not has_log_density(score):
        raise ValueError(
            f"metropolis needs a score with log_density, such as an exact score, found {score!r}"
        )
    sigma_batch = x.new_full((len(x),), float(sigmas[-1]))
    drift = step_size if proposal == "langevin" else 0.0
    x, noise = x.clone(), independent_noise(generator)
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    uniform = torch.empty(len(x), dtype=torch.float64, device=x.device)
    log_density = score.log_density(x, sigma_batch)
    score_x = score(x, sigma_batch) if drift else torch.zeros_like(x)
    for _ in range(steps):
        proposed = x + drift * score_x + math.sqrt(2 * step_size) * noise(z)
        proposed_density = score.log_density(proposed, sigma_batch)
        proposed_score = score(proposed, sigma_batch) if drift else score_x
        # log k(x | x̃) − log k(x̃ | x); for the random walk both are −‖z‖²/2.
        reverse_sq = (x - proposed - drift * proposed_score).flatten(1).double().square().sum(1)
        forward_sq = z.flatten(1).double().square().sum(1)
        correction = 0.5 * forward_sq - reverse_sq / (4 * step_size) if drift else 0.0
        log_acceptance = proposed_density - log_density + correction
        accepted = uniform.uniform_(generator=generator).log() < log_acceptance
        log_density = torch.where(accepted, proposed_density, log_density)
        accepted = expand_sigma(accepted, x)
        x = torch.where(accepted, proposed, x)
        score_x = torch.where(accepted, proposed_score, score_x) if drift else score_x
    if observe is not None or denoise:
        score_x = score(x, sigma_batch)
    if observe is not None:
        observe(len(sigmas) - 1, x, score_x)
    return x.add_(score_x, alpha=float(sigmas[-1]) ** 2) if denoise else x
