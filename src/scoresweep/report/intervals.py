"""Mean and 95 % confidence interval over repeats.

For n repeats with mean m and sample standard deviation s, Student's interval is
m ± t · s / √n with t the (1 + confidence) / 2 quantile of the t distribution with n − 1 degrees of
freedom (Student 1908). It is honest for few repeats: two seeds give a wide interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

__all__ = ["Interval", "mean_interval"]


class Interval(NamedTuple):
    """A mean, the ends of its interval (NaN where there is none) and the number of repeats."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of the finite `values` and Student's interval for it.

    A single value has no interval, no value no mean: these are NaN.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    n = finite.size
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(finite.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    t = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    half = t * float(finite.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)
