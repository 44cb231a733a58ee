"""Weights λ(σ) of the noise levels: "sigma2" σ², "sigma" σ, "one" 1."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

__all__ = ["Weighting", "apply_weighting"]

Weighting = Literal["sigma2", "sigma", "one"]

POWERS = {"sigma2": 2, "sigma": 1, "one": 0}


def apply_weighting(
    losses: Tensor, sigma: Tensor, weighting: Weighting, divided_by_power: int = 0
) -> Tensor:
    """Return `losses` (N,) times λ(σ)/σᵏ, k = `divided_by_power`, for the levels `sigma` (N,)."""
    return losses * sigma ** (POWERS[weighting] - divided_by_power)
