"""Types of metrics of sample quality: features, options and values.

A metric is a function `metric(real, generated, options) -> {name: MetricValue}`. To add one, write
it in a file of this package and add a line to the table of metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.seeds import generator_for

__all__ = ["Features", "Metric", "MetricValue", "Moments", "Options"]

T = TypeVar("T")

BLOCK = 4096
"""Minimum number of samples of one step of the decomposition of a covariance."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of D features; equal only to itself."""

    mean: Tensor
    """(D,), float64."""
    covariance_factor: Tensor
    """R (K, D), where RᵀR is the covariance, float64."""


@dataclass(frozen=True)
class Features:
    """Features of N samples."""

    values: Tensor
    """(N, D), float32 or float64."""
    probabilities: Tensor | None = None
    """Class probabilities (N, K), if the extractor gives them."""
    moments: Moments | None = None
    """`mean` and `covariance_factor`, if already known."""

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """Concatenate the samples of `parts`."""
        probabilities = [p.probabilities for p in parts if p.probabilities is not None]
        return cls(
            torch.cat([part.values for part in parts]),
            torch.cat(probabilities) if probabilities else None,
        )

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Tensor) -> Features:
        """Return the samples with the indices `index`."""
        probabilities = self.probabilities
        return Features(self.values[index], None if probabilities is None else probabilities[index])

    def subsample(self, count: int, seed: int) -> Features:
        """Return `count` random samples, or all if there are fewer."""
        if len(self) <= count:
            return self
        order = torch.randperm(len(self), generator=generator_for(seed, "some"))
        return self.cached(("some", count, seed), lambda: self[order[:count]])

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, computed once for these samples and cached under `key`.

        It is for values of the real samples, which are compared with many halves.
        """
        if key not in self._cache:
            self._cache[key] = compute()
        value: T = self._cache[key]
        return value

    @cached_property
    def _cache(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def num_nonfinite(self) -> int:
        """Number of samples with a feature that is not finite."""
        return int((~self.values.isfinite().all(dim=1)).sum())

    @cached_property
    def mean(self) -> Tensor:
        """Mean (D,), float64."""
        return self.moments.mean if self.moments else self.values.mean(dim=0, dtype=torch.float64)

    @cached_property
    def covariance_factor(self) -> Tensor:
        """R (min(N, D), D), where RᵀR is the unbiased covariance, float64.

        Products of features would lose half of the digits, so R is the scaled centred features or
        the triangle of their QR decomposition. It is computed in blocks, so that there is no
        float64 copy of all features.
        """
        if self.moments:
            return self.moments.covariance_factor
        scale, dimension = (len(self) - 1) ** -0.5, self.values.shape[1]
        factor = self.mean.new_empty(0, dimension)
        for part in torch.split(self.values, max(BLOCK, 4 * dimension)):
            factor = torch.cat([factor, (part.double() - self.mean) * scale])
            if len(factor) > dimension:
                factor = torch.linalg.qr(factor, mode="r").R
        return factor


@dataclass(frozen=True)
class MetricValue:
    """A measured value with its metadata."""

    value: float | Tensor
    """A number, or numbers (K,) for classes or modes."""
    long_name: str
    n_real: int | None
    """Number of real samples; None: unknown."""
    better: Literal["lower", "higher"] | None = None
    minimum: float | None = None
    """Smallest possible value."""
    maximum: float | None = None
    """Largest possible value."""
    caveat: str | None = None
    """A failure that scores well; a metric with a caveat is not used for ranking."""
    units: str = "1"
    note: str | None = None
    """A warning about this value."""
    per_extractor: bool = True
    """Whether the extractor is part of the name."""
    dimension: str = "class"
    """Dimension of values (K,)."""
    n_generated: int | None = None
    """Number of generated samples; None: all."""
    error: float | Tensor | None = None
    """Standard error of the value, if known, as for a mean over independent samples; None: it is
    estimated from random halves of the samples."""
    min_standard_error: float | Tensor = 0.0
    """Lower bound on the standard error from halves, which do not scatter without a rare event."""
    depends_on_data_only: bool = False
    """Whether the value depends on the dataset only; it then has no interval or baselines."""


@dataclass(frozen=True)
class Options:
    """Options of all metrics."""

    neighbours: int = 5
    """Neighbourhood size k of precision, recall, density and coverage."""
    kid_subsets: int = 100
    """Number of subsets over which the kernel distance is averaged."""
    kid_subset_size: int = 250
    """Maximum number of samples of each subset."""
    inception_score_splits: int = 10
    """Number of splits over which the Inception Score is averaged."""
    resamplings: int = 0
    """Number of random halves for a metric that computes its own standard error; 0: none."""
    seed: int = 0
    """Seed of the random numbers of a metric."""
    mixture: GaussianMixture | None = None
    """Distribution of the data, if it is a mixture."""
    shares: Tensor | None = None
    """Share of each class (K,), if the data are shapes."""
    real_statistics: Moments | None = None
    """Moments to use instead of those of the real features, if any."""
    class_weights: Tensor | None = None
    """Weights (K, D) that map features to logits of classes, if the extractor has them."""


Metric: TypeAlias = Callable[[Features, Features, Options], dict[str, MetricValue]]
"""`metric(real, generated, options)`; raises ValueError if there are too few samples."""
