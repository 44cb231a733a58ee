"""Step sizes η_i of the levels of a ladder, all set by one step size ε.

    variance   η_i = ε σ_i²/σ_L²   (Song and Ermon 2019, Algorithm 1)
    linear     η_i = ε σ_i/σ_1
    constant   η_i = ε
    denoise    η_i = σ_i²          (a step is x ← E[x₀ | x] + √2 σ z; ε plays no part)

A step is x ← x + η s(x, σ) + √(2η) z.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["StepRule", "step_sizes"]

StepRule = Literal["variance", "linear", "constant", "denoise"]


def step_sizes(rule: StepRule, sigmas: Tensor, step_size: float) -> Tensor:
    """Return η_1 … η_L, (L,), float64 on the CPU, for the ladder `sigmas` (L,).

    Raises:
        ValueError: if `step_size` is not positive, or a step η_i ≥ 2σ_i²: where the data is
            narrower than the noise it multiplies distances by |1 − η_i/σ_i²| ≥ 1, and the walk
            diverges.
    """
    sigmas = sigmas.double().cpu()
    if step_size <= 0:
        raise ValueError(f"step_size must be above 0, found {step_size:g}")
    rules = {
        "variance": step_size * (sigmas / sigmas[-1]) ** 2,
        "linear": step_size * sigmas / sigmas[0],
        "constant": torch.full_like(sigmas, step_size),
        "denoise": sigmas**2,
    }
    steps, limits = rules[rule], 2 * sigmas**2
    if (steps >= limits).any():
        worst = int((steps >= limits).nonzero()[-1])
        raise ValueError(
            f"step_size {step_size:g} diverges wherever the data is narrower than the noise: under "
            f"the step rule {rule!r} the step of level {worst + 1} (sigma {sigmas[worst]:g}) is "
            f"{steps[worst]:g}; expected below 2·sigma² = {limits[worst]:g}, that is a step_size "
            f"below {step_size * float((limits / steps).min()):g}"
        )
    return steps
