"""The density of one-dimensional data that a score stands for.

In one dimension every score is a gradient: log p(x) = ∫ s(x) dx + const, where the constant follows
from ∫ p = 1. Integrals are those of the trapezium rule on a regular grid. Of two densities p and q
the distances are

    density_tv  ½ ∫ |p − q|          (total variation)
    density_kl  ∫ p log(p / q)       (of the recovered density q from the exact one, in nats)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresweep.score import Score, ScoreWithDensity

__all__ = ["RecoveredDensity", "log_density_of_score", "recover_density"]

STORED = 500
"""Intervals of the grid that is returned."""

MARGIN = 5.0
"""Width of what the grid has beyond the data on either side, in noise levels."""

RESOLUTION = 8
"""Least intervals of the grid of the integral to a noise level: no density is narrower."""


MOST = 2**22
"""Most points of the grid of the integral: the score of so many takes minutes and some GB."""


@dataclass(frozen=True)
class RecoveredDensity:
    """The density of a score and the exact one, on the same grid, and how far they are apart."""

    x: Tensor
    """Grid (501,), in units of the data."""
    density: Tensor
    """Recovered density (501,)."""
    exact: Tensor
    """Exact density (501,)."""
    tv: float
    kl: float


def recover_density(
    score: Score, oracle: ScoreWithDensity, data: Tensor, sigma: float
) -> RecoveredDensity:
    """Integrate `score` at the level `sigma` and compare it with the density of `oracle`.

    Args:
        score: the score to judge.
        oracle: the exact score, which knows its density.
        data: points (N, 1), which say where the density is.
        sigma: noise level, in units of the data.

    Raises:
        ValueError: if the grid of the integral would have more than `MOST` points.
    """
    low, high = float(data.min()) - MARGIN * sigma, float(data.max()) + MARGIN * sigma
    finer = max(1, round(RESOLUTION * (high - low) / sigma / STORED))
    if STORED * finer > MOST:
        raise ValueError(
            f"the grid would have {STORED * finer:,} points: the data is {high - low:g} wide, and "
            f"the noise level {sigma:g}; expected {MOST:,} or fewer"
        )
    x = torch.linspace(low, high, STORED * finer + 1, dtype=torch.float64)
    points, sigmas = x[:, None].to(data.dtype), data.new_full((len(x),), sigma)
    found = log_density_of_score(x, score(points, sigmas)[:, 0].double())
    exact = _normalised(x, oracle.log_density(points, sigmas).double())
    p, q = exact.exp(), found.exp()
    tv = 0.5 * torch.trapezoid((p - q).abs(), x)
    kl = torch.trapezoid(p * (exact - found), x)
    stored = slice(None, None, finer)
    return RecoveredDensity(x[stored], q[stored], p[stored], float(tv), float(kl))


def log_density_of_score(x: Tensor, score: Tensor) -> Tensor:
    """Return the normalised log density (N,) whose score on the grid `x` (N,) is `score`."""
    steps = torch.cumulative_trapezoid(score, x)
    return _normalised(x, torch.cat([steps.new_zeros(1), steps]))


def _normalised(x: Tensor, log_density: Tensor) -> Tensor:
    """Shift a log density so that it integrates to one."""
    shifted = log_density - log_density.max()
    return shifted - torch.trapezoid(shifted.exp(), x).log()
