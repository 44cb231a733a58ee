"""Kernel distance (Bińkowski et al. 2018): squared MMD with the kernel k(x, y) = (x·y/D + 1)³."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.seeds import generator_for

__all__ = ["kernel_distance", "kid", "squared_mmd"]


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of the squared MMD of `x` (N, D) and `y` (M, D), float64.

    It can be negative.
    """
    return _squared_mmd(x, y, _sum_within(x))


def kernel_distance(
    x: Tensor, y: Tensor, subsets: int, subset_size: int, generator: torch.Generator
) -> float:
    """Return the mean of `squared_mmd` over random subsets of `x` (N, D) and of `y` (M, D).

    A subset has `subset_size` samples of each set, or the size of the smaller set if that is less.

    Raises:
        ValueError: if a set has fewer than two samples.
    """
    x_subsets, y_subsets = _draw_pairs(x, y, subsets, subset_size, generator)
    return _mean_distance(x, y, x_subsets, y_subsets, [_sum_within(x[i]) for i in x_subsets])


def _mean_distance(
    x: Tensor, y: Tensor, x_subsets: Tensor, y_subsets: Tensor, within_x: Sequence[Tensor]
) -> float:
    """Return the mean of `squared_mmd` over pairs of subsets, given as indices (S, size).

    `within_x` has `_sum_within` of each subset of `x`.
    """
    pairs = zip(x_subsets, y_subsets, within_x, strict=True)
    return float(torch.stack([_squared_mmd(x[i], y[j], within) for i, j, within in pairs]).mean())


def _squared_mmd(x: Tensor, y: Tensor, within_x: Tensor) -> Tensor:
    """Return `squared_mmd`, given `_sum_within` of `x`."""
    within = within_x + _sum_within(y)
    return within / (len(x) * (len(x) - 1)) - 2 * _kernel(x, y).mean()


def _sum_within(x: Tensor) -> Tensor:
    """Return the sum of the kernel over all pairs of different samples of `x` (N, D), float64."""
    kernel = _kernel(x, x)
    return kernel.sum() - kernel.trace()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.double(), y.double()
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def _draw_pairs(
    x: Tensor, y: Tensor, subsets: int, subset_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the indices of the subsets of `x` and of `y`, (subsets, size) each."""
    size = min(subset_size, len(x), len(y))
    if size < 2:
        raise ValueError(f"expected 2 samples or more, found {len(x)} and {len(y)}")
    first = _draw_subsets(len(x), size, subsets, generator)
    return first, _draw_subsets(len(y), size, subsets, generator)


def _draw_subsets(count: int, size: int, subsets: int, generator: torch.Generator) -> Tensor:
    """Return indices (subsets, size) below `count`.

    Each permutation is cut into disjoint subsets, so that their mean varies less than that of
    independent subsets.
    """
    in_order = count // size
    orders = [
        torch.randperm(count, generator=generator)[: in_order * size].reshape(in_order, size)
        for _ in range(math.ceil(subsets / in_order))
    ]
    return torch.cat(orders)[:subsets]


def kid(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `kid`, squared MMD with a cubic kernel, as torchmetrics' KernelInceptionDistance."""
    x, y, seed = real.values, generated.values, options.seed
    drawn = _draw_pairs(
        x, y, options.kid_subsets, options.kid_subset_size, generator_for(seed, "kid")
    )
    # The subsets of real samples are the same for all generated samples.
    key = ("within subsets", *drawn[0].shape, seed)
    within = real.cached(key, lambda: [_sum_within(x[i]) for i in drawn[0]])
    distance = _mean_distance(x, y, *drawn, within)
    return {"kid": MetricValue(distance, "kernel distance", n_real=len(real), better="lower")}
