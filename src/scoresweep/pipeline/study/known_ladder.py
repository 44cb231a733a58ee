"""The noise levels of a ladder that does not depend on data, without importing torch."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["smallest_sigma", "static_sigmas"]


def smallest_sigma(noise: Any) -> float:
    """Return σ_L of a ladder component, which no ladder takes from the data."""
    sigmas = getattr(noise, "sigmas", None)
    return float(sigmas[-1] if sigmas else noise.sigma_min)


def static_sigmas(noise: Any) -> list[float] | None:
    """Return σ_1 … σ_L of a ladder component, as `scoresweep.noise` makes them.

    None where they depend on the data.
    """
    if noise.name == "explicit":
        return list(noise.sigmas)
    first, last, levels = noise.sigma_max, noise.sigma_min, noise.levels
    if isinstance(first, str) or isinstance(levels, str):
        return None
    parts = [i / (levels - 1) for i in range(levels)]
    if noise.name == "geometric":
        return [first * (last / first) ** u for u in parts]
    if noise.name == "uniform":
        return [first + u * (last - first) for u in parts]
    if noise.name == "cosine":
        return [last + (first - last) * (1 + math.cos(math.pi * u)) / 2 for u in parts]
    root = 1 / noise.rho
    return [(first**root + u * (last**root - first**root)) ** noise.rho for u in parts]
