"""Kernel distance (Bińkowski et al. 2018): squared MMD with the kernel k(x, y) = (x·y/D + 1)³."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, Measure, Options
from scoresweep.seeds import generator_for

__all__ = ["kernel_distance", "kid", "squared_mmd"]


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of the squared MMD of `x` (N, D) and `y` (N, D), float64 (it may
    be negative).
    """
    count, dimension = x.shape
    both = torch.cat([x, y]).double()
    base = both @ both.T / dimension + 1
    kernel = base * base * base
    within = kernel[:count, :count].sum() + kernel[count:, count:].sum() - kernel.trace()
    return within / (count * (count - 1)) - 2 * kernel[:count, count:].mean()


def kernel_distance(
    x: Tensor, y: Tensor, subsets: int, subset_size: int, generator: torch.Generator
) -> float:
    """Return the mean of `squared_mmd` over random subsets of `x` (N, D) and of `y` (M, D).

    A subset has `subset_size` samples of each, or all of the smaller set where that has fewer.

    Raises:
        ValueError: if a set has fewer than two samples.
    """
    size = min(subset_size, len(x), len(y))
    if size < 2:
        raise ValueError(f"2 samples or more are needed, found {len(x)} and {len(y)}")

    def draw(values: Tensor) -> Tensor:
        return values[torch.randperm(len(values), generator=generator)[:size]]

    return float(torch.stack([squared_mmd(draw(x), draw(y)) for _ in range(subsets)]).mean())


def kid(real: Features, generated: Features, options: Options) -> dict[str, Measure]:
    """Measure `kid`, as torchmetrics' KernelInceptionDistance defines it."""
    distance = kernel_distance(
        real.values,
        generated.values,
        options.kid_subsets,
        options.kid_subset_size,
        generator_for(options.seed, "kid"),
    )
    return {"kid": Measure(distance, "kernel distance", n_real=len(real), better="lower")}
