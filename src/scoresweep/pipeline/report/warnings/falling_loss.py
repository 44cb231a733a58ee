"""Whether the training loss still falls at the end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import special

from scoresweep.pipeline.report.tables.report_data import Finding

__all__ = ["Fall", "falling_loss", "loss_fall"]

Array = np.ndarray[Any, Any]

BLOCKS = 8
"""Number of blocks of points in the last third of a curve."""

LEAST = 0.01
"""Relative fall below which the end of a curve counts as flat."""


class Fall(NamedTuple):
    """How much a loss fell over the last third of a training, relative to its last values."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float


def loss_fall(losses: Array) -> Fall | None:
    """Return the relative fall over the last third of a curve (S,), evenly spaced in steps.

    It is the slope of a straight line through the means of eight blocks of points, with Student's
    interval for six degrees of freedom. Points of a loss are means over disjoint steps; blocks
    also remove correlations between neighbouring points. None for fewer than 24 points.
    """
    size = len(losses) // 3 // BLOCKS
    if not size or not np.isfinite(losses).all():
        return None
    means = losses[len(losses) - size * BLOCKS :].reshape(BLOCKS, size).mean(axis=1)
    x = np.arange(BLOCKS) - (BLOCKS - 1) / 2
    slope = x @ means / (x @ x)
    residual = means - means.mean() - slope * x
    freedom = BLOCKS - 2
    error = np.sqrt(residual @ residual / freedom / (x @ x))
    half = special.stdtrit(freedom, 0.975) * error
    scale = BLOCKS / abs(means[-1])
    return Fall(*(float(scale * v) for v in (-slope, -slope - half, -slope + half)))


def falling_loss(training: xr.Dataset, runs: Collection[str]) -> Finding | None:
    """Warn if the mean loss of `runs` fell by 1 % or more, also at the lower end of the interval.

    `training` is that group of a report. None if the learning rate falls there, too.
    """
    if "loss" not in training or not {"step", "run"} <= set(training.variables):
        return None
    curve, rate = (_mean_curve(training, name, runs) for name in ("loss", "learning_rate"))
    rate = rate[-(len(rate) // 3) :]
    if len(rate) and rate.min() < (1 - LEAST) * rate.max():
        return None  # a falling learning rate lowers the loss by itself
    fall = loss_fall(curve)
    if fall is None or fall.low < LEAST:
        return None
    text = (
        f"The training loss still fell at the end: by {100 * fall.value:.1f} % over the last third "
        f"of the training (95 % interval {100 * fall.low:.1f} to {100 * fall.high:.1f} %). Longer "
        f"training may help."
    )
    return Finding("falling_loss", text, fall._asdict())


def _mean_curve(training: xr.Dataset, name: str, runs: Collection[str]) -> Array:
    """Return the mean of a curve over `runs`, at the steps that all of them have."""
    if name not in training:
        return np.empty(0)
    dims = training["run"].dims
    places = np.argwhere(np.isin(training["run"].values.astype(str), [*runs])).tolist()
    points = [dict(zip(dims, place, strict=True)) for place in places]
    curves = [training[name].isel(point).values for point in points]
    mean = np.mean(curves, axis=0) if curves else np.empty(0)
    return np.asarray(mean[np.isfinite(mean)])
