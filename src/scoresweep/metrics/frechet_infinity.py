"""Fréchet distance extrapolated to infinitely many generated samples (Chong and Forsyth 2020).

The distance of n generated samples is too large by about a/n, where a depends on the model: two
models can change places by n alone. The distance of subsets of n samples is drawn over 1/n, and
the least-squares line read off at 1/n = 0.

The number of generated samples is extrapolated, and that alone. The real ones are all taken each
time, as in the paper: what their number adds is the same for all that is compared with them, and
is in this value as in the plain distance.

A line it is for many more samples than features only, so that the smallest subset has four times
as many. With fewer than eight samples to a feature it has half of them, and a note says so; another
one where the real samples are too few for their covariance.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.standard_errors import half_sample_errors
from scoresweep.seeds import generator_for

__all__ = ["frechet_infinity", "intercept_weights", "subset_sizes"]

POINTS = 15
"""Subsets, whose sizes are evenly spaced up to all samples, as in the paper."""

MIN_SAMPLES = 30
"""Fewest generated samples, of which a half is cut into subsets of different sizes."""

SMALLEST_SHARE = 0.1
"""Least share of the samples that a subset has."""

PER_FEATURE = 4
"""Samples of a subset to a feature: with fewer the next term, of 1/n², is seen in the result."""


def subset_sizes(count: int, dimension: int) -> npt.NDArray[np.int64]:
    """Return the sizes (15,) of the subsets of `count` samples of `dimension` features."""
    smallest = max(SMALLEST_SHARE * count, min(PER_FEATURE * dimension, count / 2))
    return np.linspace(smallest, count, POINTS).astype(np.int64)


def intercept_weights(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return w (K,) so that Σ w y is the intercept of the least-squares line of y over 1/sizes."""
    gaps = 1 / sizes - np.mean(1 / sizes)
    weights: npt.NDArray[np.float64] = 1 / len(sizes) - np.mean(1 / sizes) * gaps / (gaps @ gaps)
    return weights


def frechet_infinity(
    real: Features, generated: Features, options: Options
) -> dict[str, MetricValue]:
    """Measure `frechet_infinity`, which may be negative.

    To first order a subset's distance is a mean over its samples of variance v/m, and has with any
    other subset's the covariance v/n of the whole: the variance of the intercept is that of the
    plain distance, v/n, times 1 + Σ w²(n/m − 1).

    Raises:
        ValueError: if there are fewer than 30 generated samples or two real ones.
    """
    count, dimension = generated.values.shape
    if len(real) < 2 or count < MIN_SAMPLES:
        raise ValueError(
            f"{MIN_SAMPLES} generated and 2 real samples or more are needed, found {count} and "
            f"{len(real)}"
        )
    distances = _Distances(real, generated)
    draw = generator_for(options.seed, "subsets")
    sizes = subset_sizes(count, dimension)
    found = [distances(torch.randperm(count, generator=draw)[:size]) for size in sizes.tolist()]
    weights = intercept_weights(sizes)
    error = None
    if options.resamplings:
        halves = half_sample_errors(
            lambda index: {"plain": distances(index)},
            count,
            options.resamplings,
            generator_for(options.seed, "halves"),
        )
        error = float(halves["plain"]) * math.sqrt(1 + weights**2 @ (count / sizes - 1))
    notes = []
    if sizes[0] < PER_FEATURE * dimension:
        notes.append(
            f"{count} samples for {dimension} features: the distance is no line in 1/n yet, and "
            "the value at its end a rough guess"
        )
    if len(real) <= dimension:
        notes.append(
            f"{len(real)} real samples for {dimension} features: their covariance is singular"
        )
    return {
        "frechet_infinity": MetricValue(
            float(weights @ torch.stack(found).numpy()),
            "Fréchet distance extrapolated to infinitely many generated samples",
            n_real=len(real),
            better="lower",
            units="squared feature units",
            error=error,
            note="; ".join(notes) or None,
        )
    }


class _Distances:
    """Fréchet distances of subsets of the generated samples; see `frechet_distance`.

    The product R₁Cᵀ of the real factor and the centred features is formed once, and where it has
    more rows than columns brought to a triangle: any subset takes its columns.
    """

    def __init__(self, real: Features, generated: Features) -> None:
        self.centred = generated.values.double() - generated.mean
        self.gap = generated.mean - real.mean
        self.spread = real.covariance_factor.square().sum()
        joint = real.covariance_factor @ self.centred.T
        self.joint = joint if joint.shape[0] <= joint.shape[1] else torch.linalg.qr(joint).R

    def __call__(self, index: Tensor) -> Tensor:
        """Return the distance of the samples `index` (m,) to all real ones, m of two or more."""
        part, joint = self.centred[index], self.joint[:, index]
        mean, scale = part.mean(dim=0), len(index) - 1
        spread = self.spread + (part - mean).square().sum() / scale
        overlap = torch.linalg.svdvals(joint - joint.mean(dim=1, keepdim=True)).sum() / scale**0.5
        distance: Tensor = (self.gap + mean).square().sum() + spread - 2 * overlap
        return distance
