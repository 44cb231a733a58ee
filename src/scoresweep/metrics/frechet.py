"""Fréchet distance between two Gaussians fitted to features (Heusel et al. 2017, eq. 6).

d² = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁^½ Σ₂ Σ₁^½)^½

The last trace is the nuclear norm of R₁R₂ᵀ for any factors with RᵀR = Σ. Factors from a QR
decomposition of the centred features avoid matrix square roots, so that singular covariances (fewer
samples than features, constant features) lose no digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Moments, Options
from scoresweep.metrics.rounding import at_least_zero

__all__ = ["frechet", "frechet_distance"]

ROUNDING = 10 * torch.finfo(torch.float64).eps
"""Maximum error of a trace for each feature, relative to the sum of both variances.

At most a fifth of it was observed for equal sets of 1 to 3,000 features.
"""


def frechet_distance(
    first: Tensor | Features | Moments, second: Tensor | Features | Moments
) -> float:
    """Return d² of the formula above, in squared units of the features; never negative.

    Args:
        first: features or samples (N, ...), whose dimensions after the first are flattened to
            (N, D); or the moments of D features.
        second: the same of other samples, (M, ...), with as many features.

    Raises:
        ValueError: if a set has fewer than two samples, or the numbers of features differ.
    """
    first, second = _as_features(first), _as_features(second)
    if len(first.mean) != len(second.mean):
        raise ValueError(
            f"expected as many features in both sets, found {len(first.mean)} and "
            f"{len(second.mean)}"
        )
    counts = [len(each) for each in (first, second) if isinstance(each, Features)]
    if min(counts, default=2) < 2:
        found = " and ".join(map(str, counts))
        raise ValueError(f"a covariance needs 2 samples or more, found {found}")
    factors = first.covariance_factor, second.covariance_factor
    spread = float(sum(factor.square().sum() for factor in factors))
    overlap = float(torch.linalg.svdvals(factors[0] @ factors[1].T).sum())
    covariance_distance = at_least_zero(spread - 2 * overlap, ROUNDING * len(first.mean) * spread)
    return float((first.mean - second.mean).square().sum()) + covariance_distance


def _as_features(samples: Tensor | Features | Moments) -> Features | Moments:
    """Return a tensor (N, ...) as features (N, D)."""
    if not isinstance(samples, Tensor):
        return samples
    if samples.ndim < 2:
        raise ValueError(f"expected samples (N, ...), found the shape {tuple(samples.shape)}")
    return Features(samples.flatten(1))


def frechet(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `frechet`, the distance of Gaussians fitted to the features.

    A note says if too few samples make a covariance singular.
    """
    against = options.real_statistics or real
    counts = [len(each) for each in (against, generated) if isinstance(each, Features)]
    fewest, dimension = min(counts), generated.values.shape[1]
    return {
        "frechet": MetricValue(
            frechet_distance(against, generated),
            "Fréchet distance",
            n_real=len(real) if against is real else None,
            better="lower",
            minimum=0.0,
            units="squared feature units",
            note=f"{fewest} samples for {dimension} features: the covariance is singular"
            if fewest <= dimension
            else None,
        )
    }
