"""Langevin dynamics at one noise level, the ladder's last: x ← x + d s(x, σ_L) + c z, z ~ N(0, I).

With d = η and c = √(2η) it samples q_σ in the limit of small η. Drift d and noise scale c can also
be set separately, as in a tutorial on score matching that uses s̃ = σ s on data in [−1, 1],

    y ← y + α σ_y s_y + c_y z,   y = 2x − 1, and tanh(y) at the end.

There σ_y = 2σ and s_y = s/2. In x, with data in [0, 1], the same dynamics has drift d = ασ/2 and
noise scale c = c_y/2, and ends with (1 + tanh(2x − 1))/2: α = 0.1, c_y = 0.05 and σ_y = 0.1 become
σ = 0.05, d = 0.0025 and c = 0.025.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scoresweep.sampler_limits import check_langevin
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.samplers.step_sizes import last_level_only
from scoresweep.score import Score

__all__ = ["langevin", "level_step_sizes"]


def level_step_sizes(
    sigmas: Tensor, *, step_size: float | None = None, drift: float | None = None, **options: Any
) -> Tensor:
    """Return the drift at the last level and NaN at the others, (L,), float64.

    Raises:
        ValueError: if the options do not fit together or the ladder (see `check_langevin`).
    """
    check_langevin(sigmas.tolist(), step_size=step_size, drift=drift, **options)
    return last_level_only(sigmas, step_size or drift or math.nan)


@torch.no_grad()
def langevin(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    steps: int,
    step_size: float | None = None,
    drift: float | None = None,
    noise_scale: float | None = None,
    denoise: bool = True,
    tanh: bool = False,
    generator: torch.Generator | None = None,
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return samples (N, ...) of Langevin dynamics from `x` at the last level, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder, (L,); only σ_L is used.
        steps: T, 1 or more.
        step_size: η: the drift is η, the noise scale √(2η).
        drift: d, given with `noise_scale` in place of `step_size`.
        noise_scale: c, 0 or more.
        denoise: end with x + σ_L² s(x, σ_L).
        tanh: at the very end, map x to (1 + tanh(2x − 1))/2.
        generator: source of random numbers, on the device of `x`.
        observe: called once, with L − 1, x after the last step and the last score.

    Raises:
        ValueError: if the options do not fit together or the ladder (see `check_langevin`).
    """
    options = {"step_size": step_size, "drift": drift, "noise_scale": noise_scale}
    drift = float(level_step_sizes(sigmas, steps=steps, **options)[-1])
    scale = math.sqrt(2 * drift) if noise_scale is None else noise_scale
    sigma, noise = float(sigmas[-1]), independent_noise(generator)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    sigma_batch = x.new_full((len(x),), sigma)
    for _ in range(steps):
        score_x = score(x, sigma_batch)
        x.add_(score_x, alpha=drift).add_(noise(z), alpha=scale)
    if observe is not None:
        observe(len(sigmas) - 1, x, score_x)
    if denoise:
        x.add_(score(x, sigma_batch), alpha=sigma**2)
    return x.mul_(2).sub_(1).tanh_().add_(1).div_(2) if tanh else x
