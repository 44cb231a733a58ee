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

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["NORMAL_95", "bounded_interval", "error_of_mean", "error_of_share", "half_sample_errors"]

NORMAL_95 = 1.959963984540054
"""Half width of a 95% interval, in standard errors."""


def bounded_interval(
    value: npt.ArrayLike, half: npt.ArrayLike, minimum: float | None, maximum: float | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the ends of the intervals `value` ± `half`, limited to possible values.

    For positive values without an upper limit, the interval is that of the logarithm to first order
    (delta method), value · exp(±half/value). If `half` exceeds the value, the upper end continues
    along the tangent, e · half, because the exponential would grow without bound. Any other
    interval is clipped to its limits.
    """
    centre, half = np.asarray(value, np.float64), np.asarray(half, np.float64)
    limits = -np.inf if minimum is None else minimum, np.inf if maximum is None else maximum
    low, high = np.clip(centre - half, *limits), np.clip(centre + half, *limits)
    if minimum != 0 or maximum is not None:
        return low, high
    positive = centre > 0
    ratio = np.where(positive, half, 0) / np.where(positive, centre, 1)
    upper = np.where(ratio <= 1, centre * np.exp(np.minimum(ratio, 1)), np.e * half)
    return np.where(positive, centre * np.exp(-ratio), low), np.where(positive, upper, high)


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
