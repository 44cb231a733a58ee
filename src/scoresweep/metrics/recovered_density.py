"""Density of one-dimensional data, recovered from a score.

In one dimension every score is a gradient: log p(x) = ∫ s(x) dx + const, where the constant follows
from ∫ p = 1. Integrals use the trapezoidal rule on a regular grid. The distances of the exact
density p and the recovered density q are

    density_tv  ½ ∫ |p − q|      (total variation)
    density_kl  ∫ p log(p / q)   (in nats)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresweep.score import Score, ScoreWithDensity

__all__ = ["RecoveredDensity", "log_density_of_score", "recover_density"]

STORED = 500
"""Number of intervals of the grid that is returned."""

MARGIN = 5.0
"""Width of the grid beyond the data on each side, in noise levels."""

RESOLUTION = 8
"""Minimum intervals per noise level of the grid of the integral: no density is narrower."""

MAX_POINTS = 2**22
"""Maximum size of the grid of the integral, whose score takes minutes and some GB."""


@dataclass(frozen=True)
class RecoveredDensity:
    """The density recovered from a score, the exact density, and their distances."""

    x: Tensor
    """Grid (501,), in units of the data."""
    density: Tensor
    """Recovered density (501,)."""
    exact: Tensor
    """Exact density (501,)."""
    tv: float
    """Total variation distance."""
    kl: float
    """Kullback-Leibler divergence, in nats."""


def recover_density(
    score: Score, oracle: ScoreWithDensity, data: Tensor, sigma: float
) -> RecoveredDensity:
    """Integrate `score` at the level `sigma` and compare the density with that of `oracle`.

    Args:
        score: the score to integrate.
        oracle: the exact score, with its log density.
        data: points (N, 1) that define the range of the grid.
        sigma: noise level, in units of the data.

    Raises:
        ValueError: if the grid of the integral would have more than `MAX_POINTS` points.
    """
    low, high = float(data.min()) - MARGIN * sigma, float(data.max()) + MARGIN * sigma
    finer = max(1, round(RESOLUTION * (high - low) / sigma / STORED))
    if STORED * finer > MAX_POINTS:
        raise ValueError(
            f"the grid would have {STORED * finer:,} points: the data and its margins "
            f"are {high - low:g} wide, and sigma is {sigma:g}; expected {MAX_POINTS:,} or fewer"
        )
    x = torch.linspace(low, high, STORED * finer + 1, dtype=torch.float64)
    points, sigmas = x[:, None].to(data.dtype), data.new_full((len(x),), sigma)
    recovered = log_density_of_score(x, score(points, sigmas)[:, 0].double())
    exact = _normalised(x, oracle.log_density(points, sigmas).double())
    p, q = exact.exp(), recovered.exp()
    tv = 0.5 * torch.trapezoid((p - q).abs(), x)
    kl = torch.trapezoid(p * (exact - recovered), x)
    stored = slice(None, None, finer)
    return RecoveredDensity(x[stored], q[stored], p[stored], float(tv), float(kl))


def log_density_of_score(x: Tensor, score: Tensor) -> Tensor:
    """Return the normalised log density (N,) whose score on the grid `x` (N,) is `score`."""
    steps = torch.cumulative_trapezoid(score, x)
    return _normalised(x, torch.cat([steps.new_zeros(1), steps]))


def _normalised(x: Tensor, log_density: Tensor) -> Tensor:
    """Return the log density (N,) on the grid `x`, shifted so that ∫ exp(log_density) = 1."""
    shifted = log_density - log_density.max()
    return shifted - torch.trapezoid(shifted.exp(), x).log()
