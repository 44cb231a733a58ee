"""Squared maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel.

MMD² = E k(X, X′) + E k(Y, Y′) − 2 E k(X, Y),   k(x, y) = exp(−‖x − y‖² / (2h²)),

with the unbiased estimate (eq. 3: pairs of different samples), which can be negative. The width h
is the median distance between real samples, so that it is the same for all generated sets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.distances import squared_distances
from scoresweep.metrics.features import Features, MetricValue, Options

__all__ = ["gaussian_mmd", "median_distance", "mmd"]

MAX_SAMPLES = 2000
"""Maximum number of samples of each set, because the cost grows with its square."""


def gaussian_mmd(x: Tensor, y: Tensor, width: float, within_x: float | None = None) -> float:
    """Return the unbiased estimate of MMD² of `x` (N, D) and `y` (M, D) for the width h.

    `within_x` is the mean kernel within `x`, if known (`mean_kernel`).

    Raises:
        ValueError: if a set has fewer than two samples.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"expected 2 samples or more, found {len(x)} and {len(y)}")
    within = mean_kernel(x, width) if within_x is None else within_x
    across = _kernel_sum(x, y, width) / (len(x) * len(y))
    return within + mean_kernel(y, width) - 2 * across


def mean_kernel(x: Tensor, width: float) -> float:
    """Return the mean of k over pairs of different samples of `x` (N, D)."""
    return (_kernel_sum(x, x, width) - len(x)) / (len(x) * (len(x) - 1))


def median_distance(x: Tensor) -> float:
    """Return the median distance between different samples of `x` (N, D)."""
    return float(torch.pdist(x.double()).median())


def _kernel_sum(x: Tensor, y: Tensor, width: float) -> float:
    """Return the sum of k over all pairs of `x` (N, D) and `y` (M, D)."""
    scale = -0.5 / width**2
    return sum(float((scale * squares).exp().sum()) for _, _, squares in squared_distances(x, y))


def mmd(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `mmd`, the squared maximum mean discrepancy with a Gaussian kernel.

    Raises:
        ValueError: if there are fewer than 2 real samples or the median distance is zero.
    """
    real, generated = (
        features.subsample(MAX_SAMPLES, options.seed) for features in (real, generated)
    )
    if len(real) < 2:
        raise ValueError(f"expected 2 real samples or more, found {len(real)}")
    width = real.cached("median distance", lambda: median_distance(real.values))
    if width == 0:
        raise ValueError("the median distance between real samples is zero")
    within = real.cached("mean kernel", lambda: mean_kernel(real.values, width))
    return {
        "mmd": MetricValue(
            gaussian_mmd(real.values, generated.values, width, within),
            "squared maximum mean discrepancy",
            n_real=len(real),
            n_generated=len(generated),
            better="lower",
        )
    }
