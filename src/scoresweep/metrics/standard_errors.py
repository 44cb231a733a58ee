"""Standard errors of metrics: their scatter over other samples of the same number.

A bootstrap resample has repeated samples, which bias a Fréchet distance upwards and shrink
neighbourhoods, so that percentiles of resamples may exclude the measured value. Random halves have
no repetitions. The standard error is the scatter over halves, scaled as in the delete-d jackknife
(Shao and Wu 1989),

    var θ(n) ≈ b/(n − b) · mean over subsets (θ(b) − θ̄(b))²,   b = ⌊n/2⌋,

which is exact for a mean. The interval θ ± 1.96·√var covers scatter only, not the bias of θ at this
n (a Fréchet distance falls as n grows).

Means over samples need no halves (`error_of_mean`, `error_of_share`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["error_of_mean", "error_of_share", "half_sample_errors"]


def error_of_mean(values: Tensor) -> float:
    """Return the standard error of the mean of independent `values` (N,)."""
    return float(values.double().std(correction=0)) / math.sqrt(max(1, len(values) - 1))


def error_of_share(share: Tensor | float, count: int) -> Tensor:
    """Return the standard error of shares of `count` independent samples, float64.

    Two samples are added inside and outside the share (Agresti and Coull 1998), so that the error
    is positive for shares of 0 and 1.
    """
    adjusted = (torch.as_tensor(share, dtype=torch.float64) * count + 2) / (count + 4)
    error: Tensor = (adjusted * (1 - adjusted) / (count + 4)).sqrt()
    return error


def half_sample_errors(
    statistics: Callable[[Tensor], dict[str, Tensor]],
    count: int,
    resamplings: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return the standard errors of statistics of `count` samples, by name.

    Args:
        statistics: function of the indices (b,) of samples that returns their statistics by name.
        count: number n of samples.
        resamplings: number of random halves, 2 or more.
        generator: source of the random halves.
    """
    half = count // 2
    halves = [
        statistics(torch.randperm(count, generator=generator)[:half]) for _ in range(resamplings)
    ]
    scale = math.sqrt(half / (count - half))
    return {name: torch.stack([h[name] for h in halves]).std(dim=0) * scale for name in halves[0]}
