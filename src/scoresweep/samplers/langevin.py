"""Langevin dynamics at one noise level, the ladder's last: x ← x + d s(x, σ_L) + c z, z ~ N(0, I).

With d = η and c = √(2η) it samples q_σ in the limit of small η. Drift d and noise scale c may also
be set apart, as in a tutorial on score matching that walks with s̃ = σ s on data in [−1, 1],

    y ← y + α σ_y s_y + c_y z,   y = 2x − 1, and tanh(y) at the end.

There σ_y = 2σ and s_y = s/2, so that in the model space x of [0, 1] the same walk has the drift
d = ασ/2 and the noise scale c = c_y/2, and ends with (1 + tanh(2x − 1))/2 (α = 0.1, c_y = 0.05 and
σ_y = 0.1 are σ = 0.05, d = 0.0025 and c = 0.025).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.samplers.step_noise import independent_noise
from scoresweep.score import Score

__all__ = ["langevin", "schedule"]


def schedule(
    sigmas: Tensor,
    *,
    steps: int,
    step_size: float | None = None,
    drift: float | None = None,
    noise_scale: float | None = None,
    **_: object,
) -> Tensor:
    """Return the drift at the last level, (L,), float64, NaN at the others.

    Raises:
        ValueError: unless either `step_size` or both `drift` and `noise_scale` are given; if the
            drift is not between 0 and 2σ_L², beyond which the walk diverges wherever the data is
            narrower than the noise; if `noise_scale` is negative or `steps` below 1.
    """
    if (step_size is None) == (drift is None) or (drift is None) != (noise_scale is None):
        raise ValueError(
            "expected either step_size, or drift and noise_scale; found "
            f"step_size {step_size}, drift {drift} and noise_scale {noise_scale}"
        )
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, found {steps}")
    if noise_scale is not None and noise_scale < 0:
        raise ValueError(f"noise_scale must be 0 or more, found {noise_scale:g}")
    name, value = ("drift", drift) if step_size is None else ("step_size", step_size)
    limit = 2 * float(sigmas[-1]) ** 2
    if value is None or not 0 < value < limit:
        raise ValueError(
            f"{name} {value:g} does not move, or diverges wherever the data is narrower than the "
            f"noise: it must be above 0 and below 2·sigma_min² = {limit:g}"
        )
    steps_of_levels = torch.full((len(sigmas),), math.nan, dtype=torch.float64)
    steps_of_levels[-1] = value
    return steps_of_levels


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
    """Walk `x` at the last level and return the samples, shape (N, ...), as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder, (L,), of which σ_L alone is used.
        steps: T.
        step_size: η: the drift is η, the noise scale √(2η).
        drift: d, with `noise_scale` instead of `step_size`.
        noise_scale: c.
        denoise: after the walk, x + σ_L² s(x, σ_L).
        tanh: at the very end, (1 + tanh(2x − 1))/2.
        generator: source of the noise, on the device of `x`.
        observe: called once, with L − 1, x after the walk, and the last score.

    Raises:
        ValueError: if the options are not valid together or on this ladder (see `schedule`).
    """
    move = float(
        schedule(sigmas, steps=steps, step_size=step_size, drift=drift, noise_scale=noise_scale)[-1]
    )
    scale = math.sqrt(2 * move) if noise_scale is None else noise_scale
    sigma, noise = float(sigmas[-1]), independent_noise(generator)
    x = x.clone()
    z = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    sigma_n = x.new_full((len(x),), sigma)
    for _ in range(steps):
        gradient = score(x, sigma_n)
        x.add_(gradient, alpha=move).add_(noise(z), alpha=scale)
    if observe is not None:
        observe(len(sigmas) - 1, x, gradient)
    if denoise:
        x.add_(score(x, sigma_n), alpha=sigma**2)
    return x.mul_(2).sub_(1).tanh_().add_(1).div_(2) if tanh else x
