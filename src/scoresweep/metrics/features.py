"""What a metric of sample quality is: real and generated features in, named measures out.

A metric is one function `metric(real, generated, options) -> {name: Measure}`. To add one, write it
in a file of this package and give it a line in the table of metrics.
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

__all__ = ["Features", "Metric", "MetricValue", "Options"]

T = TypeVar("T")

BLOCK = 4096
"""Fewest samples that go into one step of the decomposition of a covariance."""


@dataclass(frozen=True)
class Features:
    """What an extractor sees in N samples."""

    values: Tensor
    """(N, D), float32 or float64."""
    probabilities: Tensor | None = None
    """Class probabilities (N, K), where the extractor gives them."""
    moments: tuple[Tensor, Tensor] | None = None
    """`mean` and `covariance_factor`, where they are known already."""

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """Return the samples of all `parts`, in their order."""
        probabilities = [p.probabilities for p in parts if p.probabilities is not None]
        return cls(
            torch.cat([part.values for part in parts]),
            torch.cat(probabilities) if probabilities else None,
        )

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Tensor) -> Features:
        """Return the samples that `index` names."""
        probabilities = self.probabilities
        return Features(self.values[index], None if probabilities is None else probabilities[index])

    def subsample(self, count: int, seed: int) -> Features:
        """Return `count` of the samples, drawn at random, or all where there are fewer."""
        if len(self) <= count:
            return self
        order = torch.randperm(len(self), generator=generator_for(seed, "some"))
        return self.cached(("some", count, seed), lambda: self[order[:count]])

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, found once for this set and kept under `key`.

        It is for what depends on the real samples alone, which many halves are compared with.
        """
        if key not in self._kept:
            self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept

    @cached_property
    def _kept(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def num_nonfinite(self) -> int:
        """Number of samples of which a feature is not finite."""
        return int((~self.values.isfinite().all(dim=1)).sum())

    @cached_property
    def mean(self) -> Tensor:
        """Mean (D,), float64."""
        return self.moments[0] if self.moments else self.values.mean(dim=0, dtype=torch.float64)

    @cached_property
    def covariance_factor(self) -> Tensor:
        """R (min(N, D), D) with RᵀR the unbiased covariance, float64.

        No product of features with themselves is formed, which would halve the digits: R is the
        centred features as they are, or the triangle of their QR decomposition, block by block, so
        that no copy of them all is made in float64.
        """
        if self.moments:
            return self.moments[1]
        scale, dimension = (len(self) - 1) ** -0.5, self.values.shape[1]
        factor = self.mean.new_empty(0, dimension)
        for part in torch.split(self.values, max(BLOCK, 4 * dimension)):
            factor = torch.cat([factor, (part.double() - self.mean) * scale])
            if len(factor) > dimension:
                factor = torch.linalg.qr(factor, mode="r").R
        return factor


@dataclass(frozen=True)
class MetricValue:
    """One measured value and what a table says about it."""

    value: float | Tensor
    """A number, or one for each class or mode (K,)."""
    long_name: str
    n_real: int
    """Real samples that went into the value."""
    better: Literal["lower", "higher"] | None = None
    minimum: float | None = None
    """Least value that is possible."""
    maximum: float | None = None
    """Greatest value that is possible."""
    caveat: str | None = None
    """What scores well on this measure without being good: it ranks nothing by itself."""
    units: str = "1"
    note: str | None = None
    """A warning to the reader of this value."""
    per_extractor: bool = True
    """Whether the extractor becomes part of the name."""
    dimension: str = "class"
    """What the values (K,) belong to."""
    n_generated: int | None = None
    """Generated samples that went into the value, where not all did."""
    error: float | Tensor | None = None
    """Standard error of the value where that is known, as of a mean over independent samples; else
    random halves of the samples tell it."""
    min_standard_error: float | Tensor = 0.0
    """What the standard error from halves is at the least: halves of samples that show no rare
    event do not scatter at all."""
    depends_on_data_only: bool = False
    """Whether the data alone says the value: it has no interval and no baselines."""


@dataclass(frozen=True)
class Options:
    """Options of all metrics."""

    neighbours: int = 5
    """Neighbourhood size k of precision, recall, density and coverage."""
    kid_subsets: int = 100
    """Subsets over which the kernel distance is averaged."""
    kid_subset_size: int = 250
    """Samples of each such subset (fewer where there are fewer)."""
    resamplings: int = 0
    """Random halves from which a metric that knows its standard error may find it; 0: none."""
    seed: int = 0
    """Seed of everything a metric draws."""
    mixture: GaussianMixture | None = None
    """What the data was drawn from, where that is a mixture."""
    shares: Tensor | None = None
    """Share of each class (K,) that the data was made with, where the data are shapes."""


Metric: TypeAlias = Callable[[Features, Features, Options], dict[str, MetricValue]]
"""`metric(real, generated, options)`; raises ValueError where there are too few samples for it."""
