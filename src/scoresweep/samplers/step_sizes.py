"""Step sizes η_i of the levels of a ladder, from one step size ε.

    variance   η_i = ε σ_i²/σ_L²   (Song and Ermon 2019, Algorithm 1)
    linear     η_i = ε σ_i/σ_1
    constant   η_i = ε
    denoise    η_i = σ_i²          (a step is x ← E[x₀ | x] + √2 σ z; ε is not used)

A step is x ← x + η s(x, σ) + √(2η) z.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresweep.sampler_limits import StepRule, check_annealed_langevin

__all__ = ["last_level_only", "step_sizes"]


def step_sizes(rule: StepRule, sigmas: Tensor, step_size: float) -> Tensor:
    """Return η_1 … η_L, (L,), float64 on the CPU.

    Args:
        rule: "variance", "linear", "constant" or "denoise".
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        step_size: ε.

    Raises:
        ValueError: if there is no such rule, or ε is not above 0, or a step diverges (see
            `check_annealed_langevin`).
    """
    sigmas = sigmas.double().cpu()
    check_annealed_langevin(sigmas.tolist(), step_size=step_size, step_rule=rule)
    return {
        "variance": step_size * (sigmas / sigmas[-1]) ** 2,
        "linear": step_size * sigmas / sigmas[0],
        "constant": torch.full_like(sigmas, step_size),
        "denoise": sigmas**2,
    }[rule]


def last_level_only(sigmas: Tensor, step_size: float = math.nan) -> Tensor:
    """Return `step_size` at the last level and NaN (no step size) at the others, (L,), float64."""
    steps = torch.full((len(sigmas),), math.nan, dtype=torch.float64)
    steps[-1] = step_size
    return steps
