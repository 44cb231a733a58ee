"""95 % intervals of means over repeats, which are nested: networks, and samplings of each.

A value is the mean over networks of the mean over each network's samplings. The samplings of one
network share the randomness of its training, so they are not independent repeats:

* two networks or more: Student's interval of the network means, mean ± t s/√n with n − 1 degrees of
  freedom (Student 1908, https://doi.org/10.2307/2331554);
* one network with two samplings or more: Student's interval of the samplings. It holds for that
  network only;
* one sampling, or repeats that agree to the last digit: the metric's own interval, from resampling
  the samples.

A difference between two configurations uses the network and sampling seeds that both have, if there
are any; the differences have the interval above (a paired t test). Without common networks it is
Welch's (1947, https://doi.org/10.2307/2332510).

Repeats that agree to the last digit say nothing about the uncertainty of their mean. It happens
with counts and shares, and if a seed has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

__all__ = [
    "NETWORK",
    "SAMPLING",
    "Estimate",
    "by_repeat",
    "differences",
    "label_repeats",
    "over_repeats",
    "repeat_means",
    "student_half_width",
    "without_rounding_errors",
]

Array = np.ndarray[Any, Any]

NETWORK, SAMPLING = "_network", "_sampling"
"""Columns that label repeats. No option begins with an underscore."""

ALIKE = 1e-9
"""Relative deviation below which values count as equal."""


class Estimate(NamedTuple):
    """Means over repeats and their uncertainty; arrays of one shape."""

    mean: Array
    error: Array
    """Standard error of the mean; NaN if the repeats do not determine it."""
    freedom: Array
    """Degrees of freedom of `error`."""
    networks: Array
    """Number of networks that have a value."""
    samplings: Array
    """Number of samplings that have a value, of all networks."""

    @property
    def level(self) -> Array:
        """Source of `error`: "networks", "samplings" of one network, "samples" or "" (none)."""
        names = np.where(self.networks > 1, "networks", "samplings")
        names = np.where(np.isinf(self.freedom), "samples", names)
        return np.where(np.isfinite(self.error), names, "")


def label_repeats(
    frame: pd.DataFrame, networks: Sequence[str], samplings: Sequence[str], exact: pd.Series[bool]
) -> pd.DataFrame:
    """Return `frame` with the columns `NETWORK` and `SAMPLING`.

    `networks` are the columns of training seeds, `samplings` those of sampling seeds. The exact
    score is not trained, so its training seeds repeat the sampling.
    """

    def labels(columns: Sequence[str]) -> pd.Series[str]:
        parts = [frame[column].astype(str) for column in columns]
        whole = pd.Series("", frame.index)
        for part in parts:
            whole = whole + part + " "
        return whole

    network, sampling = labels(networks), labels(samplings)
    seeded = ~sampling.str.strip().isin(["", "none"])  # without a seed: the network's
    sampling = sampling.where(~exact | seeded, network)
    return frame.assign(**{NETWORK: network.mask(exact, "exact"), SAMPLING: sampling})


def by_repeat(frame: pd.DataFrame, name: str, axes: Sequence[str]) -> tuple[pd.DataFrame, Array]:
    """Return the points of `axes` in ascending order, and the values at each (points, I, J).

    I and J are the networks and samplings of the whole frame; NaN is missing. What has the same
    network and sampling (evaluation seeds) is averaged.
    """
    groups = frame.groupby(list(axes) if axes else np.zeros(len(frame)), sort=True)
    point = groups.ngroup().to_numpy()
    points = frame.iloc[np.unique(point, return_index=True)[1]][list(axes)].reset_index(drop=True)
    codes = [
        np.unique(frame[c].to_numpy(dtype=str), return_inverse=True) for c in (NETWORK, SAMPLING)
    ]
    shape = (len(points), *(len(values) for values, _ in codes))
    place = np.ravel_multi_index((point, *(code for _, code in codes)), shape)
    size = int(np.prod(shape))
    total = np.bincount(place, frame[name].to_numpy(dtype=float), size)
    count = np.bincount(place, minlength=size)
    return points, np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


def repeat_means(frame: pd.DataFrame, names: Sequence[str], axes: Sequence[str]) -> pd.DataFrame:
    """Return the means of columns at each point of `axes`, over networks of their samplings."""
    keys = list(axes)
    for inner in ([*keys, NETWORK, SAMPLING], [*keys, NETWORK]):
        frame = frame.groupby(inner, as_index=False, sort=True)[list(names)].mean()
    if keys:
        return frame.groupby(keys, as_index=False, sort=True)[list(names)].mean()
    return frame[list(names)].mean().to_frame().T if len(frame) else frame[list(names)]


def over_repeats(values: Array, scale: Array | float = 0.0) -> Estimate:
    """Return the mean of `values` (..., I, J) over networks and samplings, with its error (...).

    `scale` (...) is the size of the numbers that `values` are differences of, if they are.
    """
    means, counts = _means(values)
    mean, networks = _means(means)
    samplings = counts.sum(axis=-1)
    between = _error(means, scale)
    # One network has all values: along its samplings.
    within = _error(_means(np.swapaxes(values, -1, -2))[0], scale)
    several = networks > 1
    error = np.where(several, between, within)
    freedom = np.where(several, networks, samplings) - 1.0
    return Estimate(mean, error, freedom, networks, samplings)


def differences(
    values: Array, other: Array, resampling_error: Array, other_resampling_error: Array
) -> Estimate:
    """Return the estimate of `values` − `other`, both (..., I, J) over the same repeats.

    `resampling_error` and `other_resampling_error` (...) are standard errors from resampling the
    samples, used for one network each if repeats do not determine the error. `networks` and
    `samplings` of the estimate count pairs, or the smaller side if there are none.
    """
    paired_values = values - other
    means, other_means = _means(values)[0], _means(other)[0]
    # Networks that both have, sampled with no common seed.
    matched = np.isfinite(paired_values).any(axis=-1)
    paired_values[..., 0] = np.where(matched, paired_values[..., 0], means - other_means)
    a, b = over_repeats(values), over_repeats(other)
    scale = np.fmax(np.abs(a.mean), np.abs(b.mean))
    paired = over_repeats(paired_values, scale)
    fewest = np.minimum(a.networks, b.networks)
    single_network = (a.networks == 1) & (b.networks == 1)
    in_pairs = (paired.networks > 1) | ((paired.samplings > 1) & (fewest == 1))
    fewest_samplings = np.minimum(a.samplings, b.samplings)
    unpaired = ~in_pairs & ((fewest > 1) | (single_network & (fewest_samplings > 1)))
    squares = a.error**2, b.error**2
    with np.errstate(divide="ignore", invalid="ignore"):
        welch = sum(squares) ** 2 / (squares[0] ** 2 / a.freedom + squares[1] ** 2 / b.freedom)
    error = np.where(in_pairs, paired.error, np.where(unpaired, np.sqrt(sum(squares)), np.nan))
    freedom = np.where(in_pairs, paired.freedom, welch)
    undetermined = ~np.isfinite(error) & ((paired.networks > 0) | single_network)
    is_paired = in_pairs | (~unpaired & (paired.networks > 0))
    return Estimate(
        without_rounding_errors(np.where(is_paired, paired.mean, a.mean - b.mean), scale),
        np.where(undetermined, np.hypot(resampling_error, other_resampling_error), error),
        np.where(undetermined, np.inf, freedom),
        np.where(in_pairs, paired.networks, fewest),
        np.where(in_pairs, paired.samplings, fewest_samplings),
    )


def without_rounding_errors(values: npt.ArrayLike, scale: npt.ArrayLike = 0.0) -> Array:
    """Return `values` with 12 digits, so that equal means are equal: (0.1 + 0.2)/2 and 0.15.

    `scale` is the size of the numbers that `values` are differences of, if they are: differences
    that are too small beside it are 0.
    """
    digits = [float(f"{value:.12g}") for value in np.ravel(values)]
    rounded = np.reshape(digits, np.shape(values))
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(rounded) <= ALIKE * np.asarray(scale), 0.0, rounded)


def student_half_width(
    error: npt.ArrayLike, freedom: npt.ArrayLike, tail: npt.ArrayLike = 0.025
) -> Array:
    """Return t · `error`, t the quantile that leaves `tail` of Student's distribution above it.

    Infinite degrees of freedom are the normal distribution. NaN if either is.
    """
    with np.errstate(invalid="ignore"):
        freedom = np.where(np.asarray(freedom) > 0, freedom, np.nan)
        return np.asarray(special.stdtrit(freedom, 1 - np.asarray(tail)) * np.asarray(error))


def _means(values: Array) -> tuple[Array, Array]:
    """Return the means along the last axis without NaN, and the numbers of values."""
    is_finite = np.isfinite(values)
    count = is_finite.sum(axis=-1)
    total = np.where(is_finite, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def _error(values: Array, scale: Array | float) -> Array:
    """Return the standard error of the mean along the last axis; NaN if undetermined."""
    mean, count = _means(values)
    squares = np.where(np.isfinite(values), (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    largest = np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=-1, initial=0.0)
    is_determined = (count > 1) & (deviation > ALIKE * np.fmax(largest, scale))
    return np.where(is_determined, deviation / np.sqrt(np.maximum(count, 1)), np.nan)
