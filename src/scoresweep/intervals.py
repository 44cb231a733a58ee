"""Intervals around a value, for metrics and for the report, which does without PyTorch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["NORMAL_95", "bounded_interval"]

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
