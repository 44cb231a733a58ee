"""Kernel distance (Bińkowski et al. 2018): squared MMD with the kernel k(x, y) = (x·y/D + 1)³."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.seeds import generator_for

__all__ = ["kernel_distance", "kid", "squared_mmd"]


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of the squared MMD of `x` (N, D) and `y` (N, D), float64.

    It can be negative.
    """
    x, y = x.double(), y.double()
    within = sum(kernel.sum() - kernel.trace() for kernel in (_kernel(x, x), _kernel(y, y)))
    return within / (len(x) * (len(x) - 1)) - 2 * _kernel(x, y).mean()


def kernel_distance(
    x: Tensor, y: Tensor, subsets: int, subset_size: int, generator: torch.Generator
) -> float:
    """Return the mean of `squared_mmd` over random subsets of `x` (N, D) and of `y` (M, D).

    A subset has `subset_size` samples of each set, or the size of the smaller set if that is less.

    Raises:
        ValueError: if a set has fewer than two samples.
    """
    size = min(subset_size, len(x), len(y))
    if size < 2:
        raise ValueError(f"expected 2 samples or more, found {len(x)} and {len(y)}")
    pairs = zip(
        _draw_subsets(len(x), size, subsets, generator),
        _draw_subsets(len(y), size, subsets, generator),
        strict=True,
    )
    return float(torch.stack([squared_mmd(x[i], y[j]) for i, j in pairs]).mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)


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
    """Measure `kid` as defined by torchmetrics' KernelInceptionDistance."""
    distance = kernel_distance(
        real.values,
        generated.values,
        options.kid_subsets,
        options.kid_subset_size,
        generator_for(options.seed, "kid"),
    )
    return {"kid": MetricValue(distance, "kernel distance", n_real=len(real), better="lower")}
