"""Predictor-corrector sampling of the variance-exploding SDE (Song et al. 2021, Algorithms 2, 4).

At each level there are M corrector steps of Langevin dynamics, whose step size keeps the
signal-to-noise ratio r,

    x ← x + η s + √(2η) z,   η = 2 (r ‖z‖/‖s‖)²,

and one predictor step to the next level, with τ² = σ_i² − σ_{i+1}²,

    reverse_diffusion   x ← x + τ² s + τ z
    ancestral           x ← x + τ² s + τ (σ_{i+1}/σ_i) z
    probability_flow    x ← x + τ² s/2
    none                x ← x: the corrector alone

The last step is the predictor step to σ = 0 without noise: x + σ_L² s, the denoising step, and with
probability flow x + σ_L² s/2, as in score_sde. (That program returns samples of the corrector alone
without a last step; here `denoise` adds x + σ_L² s to it.)

The norms are computed for each sample. With means over the batch, as in public code, a sample would
depend on the rest of its batch. In few dimensions the corrector does not keep q_σ, because its step
size varies too much (the mean needs E[1/‖s‖²], which is infinite for a Gaussian in one or two
dimensions): use 0 corrector steps there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.sampler_limits import Predictor, check_predictor_corrector
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.samplers.step_sizes import last_level_only
from scoresweep.score import Score, expand_sigma

__all__ = ["level_step_sizes", "predictor_corrector"]


def level_step_sizes(sigmas: Tensor, **_: object) -> Tensor:
    """Return NaN for each level, (L,), float64: every sample has its own step size."""
    return last_level_only(sigmas)


@torch.no_grad()
def predictor_corrector(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    predictor: Predictor = "reverse_diffusion",
    corrector_steps: int = 1,
    snr: float = 0.16,
    denoise: bool = True,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return samples (N, ...) of predictor-corrector sampling from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        predictor: "reverse_diffusion", "ancestral", "probability_flow" or "none".
        corrector_steps: M, 0 or more; without a predictor 1 or more.
        snr: r, above 0.
        denoise: end with the last step to σ = 0.
        generator: source of random numbers, on the device of `x`.
        observe: called at each level with its index (from 0), x after the corrector and the score
            there; without a predictor, the last score of the corrector. x is overwritten by later
            steps: copy it to keep it.

    Raises:
        ValueError: if an option is outside its range (see `check_predictor_corrector`).
    """
    check_predictor_corrector(predictor=predictor, corrector_steps=corrector_steps, snr=snr)
    ladder, noise = sigmas.tolist(), independent_noise(generator)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for level, sigma in enumerate(ladder):
        sigma_batch = x.new_full((len(x),), sigma)
        for _ in range(corrector_steps):
            score_x = score(x, sigma_batch)
            ratio = noise(z).flatten(1).norm(dim=1) / score_x.flatten(1).norm(dim=1)
            step = expand_sigma(2 * (snr * ratio) ** 2, x)
            x.add_(step * score_x).add_((2 * step).sqrt() * z)
        if predictor != "none":
            score_x = score(x, sigma_batch)
        if observe is not None:
            observe(level, x, score_x)
        if level + 1 < len(ladder):
            drift, added = _predictor_step(predictor, sigma, ladder[level + 1])
            if drift:
                x.add_(score_x, alpha=drift)
            if added:
                x.add_(noise(z), alpha=added)
    if denoise and predictor == "none":
        score_x = score(x, sigma_batch)
    last = 0.5 if predictor == "probability_flow" else 1.0
    return x.add_(score_x, alpha=last * ladder[-1] ** 2) if denoise else x


def _predictor_step(predictor: Predictor, sigma: float, following: float) -> tuple[float, float]:
    """Return the factors of the score and of the noise in a step from `sigma` to `following`."""
    variance = sigma**2 - following**2
    return {
        "reverse_diffusion": (variance, math.sqrt(variance)),
        "ancestral": (variance, following / sigma * math.sqrt(variance)),
        "probability_flow": (0.5 * variance, 0.0),
        "none": (0.0, 0.0),
    }[predictor]
