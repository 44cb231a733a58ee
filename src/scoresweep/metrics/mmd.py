"""Squared maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel.

MMD² = E k(X, X′) + E k(Y, Y′) − 2 E k(X, Y),   k(x, y) = exp(−‖x − y‖² / (2h²)),

estimated without bias (eq. 3: pairs of different samples), so that it may be negative. The width h
is the median distance between real samples: the same for all that is compared with them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.distances import squared_distances
from scoresweep.metrics.features import Features, MetricValue, Options

__all__ = ["gaussian_mmd", "median_distance", "mmd"]

MAX_SAMPLES = 2000
"""Most samples of each kind that go into the metric: its cost grows with their square."""


def gaussian_mmd(x: Tensor, y: Tensor, width: float, within_x: float | None = None) -> float:
    """Return the unbiased estimate of MMD² of `x` (N, D) and `y` (M, D) for the width h.

    The mean kernel within `x` may be given where it is known (`mean_kernel`).

    Raises:
        ValueError: if a set has fewer than two samples.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"2 samples or more are needed, found {len(x)} and {len(y)}")
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
    """Measure `mmd`; raises ValueError where half of the real samples or more are equal."""
    some, drawn = (features.subsample(MAX_SAMPLES, options.seed) for features in (real, generated))
    if len(some) < 2:
        raise ValueError(f"2 real samples or more are needed, found {len(some)}")
    width = some.cached("median distance", lambda: median_distance(some.values))
    if width == 0:
        raise ValueError("the median distance between real samples is zero")
    within = some.cached("mean kernel", lambda: mean_kernel(some.values, width))
    return {
        "mmd": MetricValue(
            gaussian_mmd(some.values, drawn.values, width, within),
            "squared maximum mean discrepancy",
            n_real=len(some),
            n_generated=len(drawn),
            better="lower",
        )
    }
