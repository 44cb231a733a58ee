"""Means and intervals over repeats, and the best setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from scoresweep.intervals import NORMAL_95, bounded_interval
from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.statistics.repeats import (
    by_repeat,
    over_repeats,
    repeat_means,
    student_half_width,
    without_rounding_errors,
)

__all__ = [
    "RankedMetric",
    "best",
    "best_first",
    "best_with_selection_interval",
    "group_by_axes",
    "main_metric",
    "most_repeats",
    "summarise",
]

Array = np.ndarray[Any, Any]

NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class RankedMetric:
    """A metric of sample quality with the attributes of its variable."""

    name: str
    title: str
    better: Literal["lower", "higher"]
    about: Mapping[str, Any]
    """All its attributes: extractor, sample counts, seed, units."""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    """Number of samples (a list if it differs): drawn (""), `real` and `noise`."""

    @property
    def caveat(self) -> str:
        """Bad samples that score well, if any; the metric then does not rank settings."""
        return str(self.about.get("caveat", ""))

    def count(self, side: str = "") -> str:
        """Return "n = 1,000" with no-break spaces, or "" if unknown."""
        sizes = np.atleast_1d(self.sizes.get(side, [])).tolist()
        return (
            f"n{NBSP}={NBSP}{' or '.join(format_number(size) for size in sizes)}" if sizes else ""
        )

    def of_counts(self, counts: Sequence[int]) -> RankedMetric:
        """Return this metric for settings with one of these numbers of samples."""

        def known(sizes: Any) -> Any:
            return [size for size in np.atleast_1d(sizes).tolist() if size in counts] or sizes

        return replace(self, sizes={side: known(sizes) for side, sizes in self.sizes.items()})

    def references(self, row: Mapping[str, Any] | pd.Series[Any]) -> list[str]:
        """Return "real test samples (n = 360) 0.107" and the like, of a row of a summary."""
        named = {"real": "real test samples", "noise": "uniform noise"}
        return [
            f"{name} ({self.count(side)}) {format_number(row[side])}"
            if self.count(side)
            else f"{name} {format_number(row[side])}"
            for side, name in named.items()
            if row[side] == row[side]
        ]


def group_by_axes(frame: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield each combination of values of `axes` with its rows; nothing without rows."""
    if not axes:
        if len(frame):
            yield (), frame
        return
    yield from frame.groupby(list(axes), sort=True)


def summarise(frame: pd.DataFrame, metric: RankedMetric, axes: Sequence[str]) -> pd.DataFrame:
    """Return mean, interval and number of repeats of `metric` for each point of `axes`.

    `frame` has the columns of `label_repeats`. Columns of the result: `axes`, `mean`, `low`,
    `high`, `networks` and `samplings` (how many have a value, samplings of all networks together),
    `level`, `error` and `freedom` (see `Estimate`), `resampling` (the standard error that the
    metric has itself), `real` and `noise`.

    The interval is that of the repeats, within the valid range (`bounded_interval`). If there are
    no repeats or all agree, it is the metric's own, averaged over the rows.
    """
    name = metric.name
    measured = frame[frame[name].notna()]
    points, values = by_repeat(measured, name, axes)
    estimate = over_repeats(values)
    sides = {s: f"{name}_{s}" for s in ("low", "high", "real", "noise") if f"{name}_{s}" in frame}
    means = repeat_means(measured, list(sides.values()), axes)
    references = {
        side: means[sides[side]].to_numpy() if side in sides else np.nan
        for side in ("real", "noise")
    }
    ends = bounded_interval(
        estimate.mean, student_half_width(estimate.error, estimate.freedom), *_limits(metric)
    )
    undetermined = ~np.isfinite(estimate.error)
    resampling = np.full(len(points), np.nan)
    if {"low", "high"} <= sides.keys():
        resampled = means[sides["low"]].to_numpy(), means[sides["high"]].to_numpy()
        resampling = _resampling_error(estimate.mean, *resampled, metric)
        ends = (
            np.where(undetermined, resampled[0], ends[0]),
            np.where(undetermined, resampled[1], ends[1]),
        )
    estimate = estimate._replace(
        error=np.where(undetermined, resampling, estimate.error),
        freedom=np.where(undetermined, np.inf, estimate.freedom),
    )
    return points.assign(
        mean=without_rounding_errors(estimate.mean),
        low=ends[0],
        high=ends[1],
        networks=estimate.networks,
        samplings=estimate.samplings,
        level=estimate.level,
        error=estimate.error,
        freedom=estimate.freedom,
        resampling=resampling,
        **references,
    )


def _limits(metric: RankedMetric) -> tuple[float | None, float | None]:
    return metric.about.get("valid_min"), metric.about.get("valid_max")


def _resampling_error(mean: Array, low: Array, high: Array, metric: RankedMetric) -> Array:
    """Recover the standard errors of intervals made by `bounded_interval`."""
    half = np.maximum(mean - low, high - mean)  # one end may be cut off at a limit
    if _limits(metric) == (0, None):
        with np.errstate(divide="ignore", invalid="ignore"):
            half = np.where(low > 0, mean * np.log(mean / low), half)
    return np.asarray(half / NORMAL_95)


def best_first(summary: pd.DataFrame, metric: RankedMetric) -> pd.DataFrame:
    """Return the rows of a summary sorted by their means, the best first."""
    return summary.sort_values("mean", ascending=metric.better == "lower", kind="stable")


def best(summary: pd.DataFrame, metric: RankedMetric) -> pd.Series[Any]:
    """Return the row of a summary with the best mean, the first if several are equal.

    Its interval is corrected for the choice (`best_with_selection_interval`).
    """
    return best_with_selection_interval(summary, metric).iloc[0]


def best_with_selection_interval(
    summary: pd.DataFrame, metric: RankedMetric, within: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the best row of a summary, or of each point of `within`, with a corrected interval.

    The best of K is partly the luckiest: its true value tends to be worse than its mean. So the
    worse end of its interval leaves out 2.5 %/K instead of 2.5 % (Bonferroni): then that end holds
    for all K together in 97.5 % of cases, hence for the chosen one. See Benjamini, Hechtlinger and
    Stark (2019), https://arxiv.org/abs/1906.00505.
    """
    ordered = best_first(summary, metric)
    groups = ordered.groupby(list(within) if within else np.zeros(len(ordered)), sort=True)
    top = groups.head(1).sort_values(list(within)) if within else ordered.head(1)
    tail = 0.025 / groups["mean"].transform("size")[top.index].to_numpy()
    half = student_half_width(top["error"], top["freedom"], tail)
    low, high = bounded_interval(top["mean"], half, *_limits(metric))
    # A single row keeps its own interval, which may have another shape.
    wider = np.isfinite(half) & (tail < 0.025)
    if metric.better == "lower":
        return top.assign(high=np.where(wider, np.fmax(high, top["high"]), top["high"]))
    return top.assign(low=np.where(wider, np.fmin(low, top["low"]), top["low"]))


def most_repeats(summary: pd.DataFrame) -> tuple[int, int]:
    """Return the maximum number of networks, and of samplings, of a row."""
    if summary.empty:
        return 0, 0
    return int(summary["networks"].max()), int(summary["samplings"].max())


def main_metric(metrics: Sequence[RankedMetric]) -> RankedMetric | None:
    """Return the metric that ranks settings, preferably a Fréchet distance.

    `fid` comes first, then other distances on Inception features, then on learned features.
    """

    def order(metric: RankedMetric) -> tuple[bool, ...]:
        name = metric.name
        is_fid = name.startswith("fid")
        return (
            not (is_fid or name.startswith("frechet")),
            "infinity" in name,
            bool(metric.caveat),
            name != "fid",
            not is_fid,
            name.endswith("_pixels"),
        )

    return min(metrics, key=order, default=None)
