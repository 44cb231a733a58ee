"""Fréchet distance extrapolated to infinitely many generated samples (Chong and Forsyth 2020).

The distance of n generated samples is too large by about a/n, where a depends on the model, so n
alone can change the order of two models. The distances of subsets of n samples are fitted by a line
in 1/n, whose intercept at 1/n = 0 is returned.

Only the number of generated samples is extrapolated. All real samples are used each time, as in the
paper: the bias from their number is the same for all generated sets, here and in the plain
distance.

The relation is linear only if samples greatly outnumber features, so the smallest subset has four
times as many samples as features. With fewer than eight samples per feature it has half of the
samples, and a note says so. Another note says if there are too few real samples for their
covariance.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Moments, Options
from scoresweep.metrics.standard_errors import half_sample_errors
from scoresweep.seeds import generator_for

__all__ = ["frechet_infinity", "intercept_weights", "subset_sizes"]

POINTS = 15
"""Number of subsets, whose sizes are evenly spaced up to all samples, as in the paper."""

MIN_SAMPLES = 30
"""Minimum number of generated samples, so that their half has subsets of different sizes."""

SMALLEST_SHARE = 0.1
"""Minimum size of a subset, as a share of the samples."""

PER_FEATURE = 4
"""Minimum samples of a subset per feature: with fewer, the term in 1/n² affects the result."""


def subset_sizes(count: int, dimension: int) -> npt.NDArray[np.int64]:
    """Return the sizes (15,) of the subsets of `count` samples of `dimension` features."""
    smallest = max(SMALLEST_SHARE * count, min(PER_FEATURE * dimension, count / 2))
    return np.linspace(smallest, count, POINTS).astype(np.int64)


def intercept_weights(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return w (K,), where Σ w y is the intercept of the least-squares line of y over 1/sizes."""
    gaps = 1 / sizes - np.mean(1 / sizes)
    weights: npt.NDArray[np.float64] = 1 / len(sizes) - np.mean(1 / sizes) * gaps / (gaps @ gaps)
    return weights


def frechet_infinity(
    real: Features, generated: Features, options: Options
) -> dict[str, MetricValue]:
    """Measure `frechet_infinity`: `frechet` extrapolated to infinitely many generated samples.

    It can be negative.

    To first order, the distance of a subset is a mean over its m samples with variance v/m, and the
    covariance of two subsets is v/n. So the variance of the intercept is that of the plain
    distance, v/n, times 1 + Σ w²(n/m − 1).

    Raises:
        ValueError: if there are fewer than 30 generated samples or two real ones.
    """
    count, dimension = generated.values.shape
    n_real = len(real) if options.real_statistics is None else None
    if count < MIN_SAMPLES:
        raise ValueError(f"expected {MIN_SAMPLES} generated samples or more, found {count}")
    if n_real is not None and n_real < 2:
        raise ValueError(f"expected 2 real samples or more, found {n_real}")
    distances = _Distances(options.real_statistics or real, generated)
    draw = generator_for(options.seed, "subsets")
    sizes = subset_sizes(count, dimension)
    values = [distances(torch.randperm(count, generator=draw)[:size]) for size in sizes.tolist()]
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
    return {
        "frechet_infinity": MetricValue(
            float(weights @ torch.stack(values).numpy()),
            "Fréchet distance extrapolated to infinitely many generated samples",
            n_real=n_real,
            better="lower",
            units="squared feature units",
            error=error,
            note="; ".join(_notes(n_real, generated, int(sizes[0]))) or None,
        )
    }


def _notes(n_real: int | None, generated: Features, smallest: int) -> list[str]:
    """Return reasons to distrust the value, from the sizes of the sets and the smallest subset."""
    count, dimension = generated.values.shape
    notes = []
    if smallest < PER_FEATURE * dimension:
        notes.append(
            f"{count} samples for {dimension} features: the distance is not linear in 1/n, so the "
            "extrapolated value is a rough estimate"
        )
    if n_real is not None and n_real <= dimension:
        notes.append(
            f"{n_real} real samples for {dimension} features: their covariance is singular"
        )
    return notes


class _Distances:
    """Fréchet distances of subsets of the generated samples; see `frechet_distance`.

    The product R₁Cᵀ of the real factor and the centred features is computed once, and reduced to a
    triangle if it has more rows than columns; a subset uses its columns.
    """

    def __init__(self, real: Features | Moments, generated: Features) -> None:
        self.centred = generated.values.double() - generated.mean
        self.gap = generated.mean - real.mean
        self.spread = real.covariance_factor.square().sum()
        joint = real.covariance_factor @ self.centred.T
        self.joint = joint if joint.shape[0] <= joint.shape[1] else torch.linalg.qr(joint).R

    def __call__(self, index: Tensor) -> Tensor:
        """Return the distance of the samples `index` (m,), m ≥ 2, to all real samples."""
        part, joint = self.centred[index], self.joint[:, index]
        mean, scale = part.mean(dim=0), len(index) - 1
        spread = self.spread + (part - mean).square().sum() / scale
        overlap = torch.linalg.svdvals(joint - joint.mean(dim=1, keepdim=True)).sum() / scale**0.5
        distance: Tensor = (self.gap + mean).square().sum() + spread - 2 * overlap
        return distance
