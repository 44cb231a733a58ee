"""Noise ladders σ_1 > … > σ_L, and NCSNv2's rules that choose them from the data.

With u = 0, 1/(L−1), …, 1 the ladders between σ_1 and σ_L are

    geometric   σ = σ_1 (σ_L/σ_1)^u
    uniform     σ = σ_1 + u (σ_L − σ_1)
    cosine      σ = σ_L + (σ_1 − σ_L) (1 + cos πu)/2
    karras      σ = (σ_1^(1/ρ) + u (σ_L^(1/ρ) − σ_1^(1/ρ)))^ρ

The techniques are those of NCSNv2 (Song and Ermon 2020, "Improved techniques for training
score-based generative models", https://arxiv.org/abs/2006.09011): Technique 1 is `max_distance`, 2
is `levels_by_technique_2`, 4 is `step_size_by_technique_4`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scoresweep.sampler_limits import check_annealed_langevin

__all__ = [
    "build_ladder",
    "cosine",
    "explicit",
    "geometric",
    "karras",
    "levels_by_technique_2",
    "max_distance",
    "max_rms_norm",
    "step_size_by_technique_4",
    "uniform",
]


def geometric(sigma_max: float, sigma_min: float, levels: int) -> Tensor:
    """Return σ (levels,), float64, that falls by the same factor from level to level.

    Raises:
        ValueError: unless 0 < `sigma_min` < `sigma_max` and `levels` ≥ 2. This holds for every
            ladder between two ends.
    """
    u = _fractions(levels)
    return _ladder(sigma_max * (sigma_min / sigma_max) ** u, sigma_max, sigma_min)


def uniform(sigma_max: float, sigma_min: float, levels: int) -> Tensor:
    """Return σ (levels,), float64, that falls by the same amount from level to level."""
    u = _fractions(levels)
    return _ladder(sigma_max + u * (sigma_min - sigma_max), sigma_max, sigma_min)


def cosine(sigma_max: float, sigma_min: float, levels: int) -> Tensor:
    """Return σ (levels,), float64, along half a cosine wave: small steps at both ends."""
    wave = (1 + torch.cos(math.pi * _fractions(levels))) / 2
    return _ladder(sigma_min + (sigma_max - sigma_min) * wave, sigma_max, sigma_min)


def karras(sigma_max: float, sigma_min: float, levels: int, rho: float = 7.0) -> Tensor:
    """Return σ (levels,), float64, whose ρ-th root falls by the same amount from level to level.

    Karras et al. 2022, eq. 5, https://arxiv.org/abs/2206.00364.
    """
    first, last = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return _ladder((first + _fractions(levels) * (last - first)) ** rho, sigma_max, sigma_min)


def explicit(sigmas: Sequence[float]) -> Tensor:
    """Return the given levels `sigmas` as σ (L,), float64.

    Raises:
        ValueError: unless they decrease and are positive.
    """
    return _ladder(torch.tensor(sigmas, dtype=torch.float64), sigmas[0], sigmas[-1])


def build_ladder(
    ladder: Callable[..., Tensor],
    options: Mapping[str, Any],
    points: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return `ladder(**options)`, (L,), float64, after resolving options that depend on the data.

    Args:
        ladder: a ladder of this module.
        options: its keyword arguments. `sigma_max` can also be "max_distance" or "max_rms", and
            `levels` can be "auto" (`levels_by_technique_2`).
        points: the training samples, (N, D).
        generator: draws the subset of a large set (see `max_distance`).

    Raises:
        ValueError: if the options do not make a ladder on these points.
    """
    options = dict(options)
    from_data = {"max_distance": max_distance, "max_rms": max_rms_norm}
    if options.get("sigma_max") in from_data:
        options["sigma_max"] = from_data[options["sigma_max"]](points, generator)
        if options["sigma_max"] <= options["sigma_min"]:
            raise ValueError(
                f"sigma_max measured on the data is {options['sigma_max']:.4g}; expected a value "
                f"above sigma_min {options['sigma_min']:g}"
            )
    if options.get("levels") == "auto":
        ends = options["sigma_max"], options["sigma_min"]
        options["levels"] = levels_by_technique_2(*ends, dimension=points.shape[1])
    return ladder(**options)


def max_distance(
    points: Tensor, generator: torch.Generator | None = None, *, block: int = 2048
) -> float:
    """Return the largest L2 distance between two of `points` (N, D): Technique 1's σ_1.

    The result is exact for up to 60,000 points; in larger sets, 10,000 random points are compared.
    Points are compared `block` by `block`, starting with the farthest from the centre; blocks too
    near the centre for a larger distance are skipped.
    """
    if len(points) > 60_000:
        points = points[torch.randperm(len(points), generator=generator)[:10_000]]
    points = points - points.mean(0)
    radius, order = points.norm(dim=1).sort(descending=True)
    points = points[order]
    largest = 0.0
    for i in range(0, len(points), block):
        for j in range(i, len(points), block):
            if radius[i] + radius[j] <= largest:
                break
            largest = max(largest, _largest(points[i : i + block], points[j : j + block]))
    return largest


def max_rms_norm(points: Tensor, generator: torch.Generator | None = None) -> float:
    """Return `max_distance` of `points` (N, D) divided by √D, the largest RMS difference."""
    return max_distance(points, generator) / math.sqrt(points.shape[1])


def levels_by_technique_2(
    sigma_max: float, sigma_min: float, dimension: int, coverage: float = 0.567
) -> int:
    """Return the number of geometric levels by Technique 2.

    With γ = σ_{i−1}/σ_i and D = `dimension`, γ solves
    Φ(√(2D)(γ−1) + 3γ) − Φ(√(2D)(γ−1) − 3γ) = C (NCSNv2, eq. 4), and L = 1 + ln(σ_1/σ_L)/ln γ,
    rounded down. The paper says C ≈ 0.5; C = 0.567 gives all five ladders that it publishes.

    Args:
        sigma_max: σ_1.
        sigma_min: σ_L.
        dimension: D.
        coverage: C.

    Raises:
        ValueError: if D < 5: neighbouring levels then overlap for every γ.
    """
    if dimension < 5:
        raise ValueError(
            f"levels: 'auto' needs data of 5 dimensions or more, found {dimension}; give a number"
        )
    from scipy.optimize import brentq  # slow to import, and few studies need it
    from scipy.special import ndtr

    root = math.sqrt(2 * dimension)

    def excess(gamma: float) -> float:
        shift = root * (gamma - 1)
        return float(ndtr(shift + 3 * gamma) - ndtr(shift - 3 * gamma)) - coverage

    gamma = brentq(excess, 1.0, 1 + 100 / (root - 3), xtol=1e-14)
    return max(2, math.floor(1 + math.log(sigma_max / sigma_min) / math.log(gamma)))


def step_size_by_technique_4(sigmas: Tensor, steps_per_level: int) -> float:
    """Return the step size ε by Technique 4.

    With a = ε/σ_L², b = 2a/(1 − (1−a)²) and γ = σ_{i−1}/σ_i, the variance after T steps at level i
    is σ_i² times (1−a)^{2T} (γ² − b) + b (NCSNv2, Proposition 3). ε brings this factor nearest
    to 1. On ladders that are not geometric, γ is the geometric mean of the ratios.

    Args:
        sigmas: the ladder, (L,), of two levels or more.
        steps_per_level: T, 1 or more.

    Raises:
        ValueError: if there is a single level or no step.
    """
    from scipy.optimize import minimize_scalar

    check_annealed_langevin(sigmas.tolist(), step_size="auto", steps_per_level=steps_per_level)
    first, last = float(sigmas[0]), float(sigmas[-1])
    gamma2 = (first / last) ** (2 / (len(sigmas) - 1))

    # b = 2/(2−a) and γ² are above 1, so values between them are too: the minimum is nearest to 1.
    def variance(a: float) -> float:
        b = 2 / (2 - a)
        return float((1 - a) ** (2 * steps_per_level) * (gamma2 - b) + b)

    best = minimize_scalar(variance, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    return float(best.x) * last**2


def _fractions(levels: int) -> Tensor:
    if levels < 2:
        raise ValueError(f"levels must be 2 or more, found {levels}")
    return torch.linspace(0, 1, levels, dtype=torch.float64)


def _ladder(sigmas: Tensor, sigma_max: float, sigma_min: float) -> Tensor:
    """Set the ends of `sigmas` exactly and check that it decreases to a positive end."""
    sigmas[0], sigmas[-1] = sigma_max, sigma_min
    if not (sigma_min > 0 and bool((sigmas.diff() < 0).all())):
        raise ValueError(f"noise levels must decrease and stay above 0, found {sigmas.tolist()}")
    return sigmas


def _largest(a: Tensor, b: Tensor) -> float:
    """Return the largest distance between a row of `a` and a row of `b`, in float64."""
    squared = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    row, column = divmod(int(squared.argmax()), len(b))
    return float((a[row].double() - b[column].double()).norm())
