"""Energy distance (Székely and Rizzo 2013): √(2E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖).

The means are over all pairs of samples, including a sample with itself. This is the exact distance
of the two empirical distributions: never imaginary, and zero only for equal sets.
"""

from __future__ import annotations

import math

from torch import Tensor

from scoresweep.metrics.distances import squared_distances
from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.rounding import at_least_zero

__all__ = ["energy", "energy_distance"]

MAX_SAMPLES = 2000
"""Maximum number of samples of each set, because the cost grows with its square."""

ROUNDING = 1e-7
"""Maximum relative error of mean distances: the root of the error of expanded squares."""


def energy_distance(x: Tensor, y: Tensor, within_x: float | None = None) -> float:
    """Return the energy distance of `x` (N, D) and `y` (M, D), in √(units of the features).

    `within_x` is the mean distance within `x`, if known (`mean_distance`).
    """
    within = mean_distance(x, x) if within_x is None else within_x
    across = mean_distance(x, y)
    square = 2 * across - within - mean_distance(y, y)
    return math.sqrt(at_least_zero(square, ROUNDING * across))


def mean_distance(x: Tensor, y: Tensor) -> float:
    """Return the mean distance over all pairs of `x` (N, D) and `y` (M, D)."""
    total = sum(float(squares.sqrt().sum()) for _, _, squares in squared_distances(x, y))
    return total / (len(x) * len(y))


def energy(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `energy_distance`, from the distances between and within the sets."""
    real, generated = (
        features.subsample(MAX_SAMPLES, options.seed) for features in (real, generated)
    )
    within = real.cached("mean distance", lambda: mean_distance(real.values, real.values))
    return {
        "energy_distance": MetricValue(
            energy_distance(real.values, generated.values, within),
            "energy distance",
            n_real=len(real),
            n_generated=len(generated),
            better="lower",
            minimum=0.0,
            units="square root of feature units",
        )
    }
