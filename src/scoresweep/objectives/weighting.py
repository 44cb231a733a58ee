"""Weights λ(σ) of the noise levels: "sigma2" σ², "sigma" σ, "one" 1, "edm" σ² (1 + σ²/s²).

The last is that of Karras et al. (2022, https://arxiv.org/abs/2206.00364) for data of the standard
deviation s: λ(σ) ‖s_θ + z/σ‖² = (σ² + s²)/(σs)² ‖D_θ − x‖² for the denoiser D_θ = x̃ + σ² s_θ.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

__all__ = ["Weighting", "apply_weighting"]

Weighting = Literal["sigma2", "sigma", "one", "edm"]

POWERS = {"sigma2": 2, "sigma": 1, "one": 0, "edm": 2}


def apply_weighting(
    losses: Tensor,
    sigma: Tensor,
    weighting: Weighting,
    data_std: float,
    divided_by_power: int = 0,
) -> Tensor:
    """Return `losses` (N,) times λ(σ)/σᵏ, k = `divided_by_power`, for the levels `sigma` (N,).

    `data_std` is s.
    """
    weighted = losses * sigma ** (POWERS[weighting] - divided_by_power)
    return weighted * (1 + (sigma / data_std).square()) if weighting == "edm" else weighted
