"""Means and intervals over seeds, the best setting, and how values are written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd

from scoresweep.metrics.intervals import bounded_interval
from scoresweep.report.intervals import half_width

__all__ = [
    "Metric",
    "best",
    "configurations",
    "coordinate",
    "describe",
    "interval",
    "is_repeat",
    "main_metric",
    "number",
    "summarise",
    "words",
]

NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Metric:
    """A measure of sample quality, as its variable in the report describes it."""

    name: str
    title: str
    better: Literal["lower", "higher"]
    about: Mapping[str, Any]
    """All its attributes: extractor, sample counts, seed, units."""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    """Number of samples (a list, where it differs) of what was drawn (""), `real` and `noise`."""

    @property
    def caveat(self) -> str:
        """What scores well without being good, where there is such; then it ranks nothing."""
        return str(self.about.get("caveat", ""))

    def count(self, side: str = "") -> str:
        """Return "n = 1,000" (in spaces that do not break), or "" where that is not known."""
        sizes = np.atleast_1d(self.sizes.get(side, [])).tolist()
        return f"n{NBSP}={NBSP}{' or '.join(number(size) for size in sizes)}" if sizes else ""

    def references(self, row: Mapping[str, Any] | pd.Series[Any]) -> list[str]:
        """Return "real test samples (n = 360) 0.107" and the like, of a row of a summary."""
        named = {"real": "real test samples", "noise": "uniform noise"}
        return [
            f"{name} ({self.count(side)}) {number(row[side])}"
            if self.count(side)
            else f"{name} {number(row[side])}"
            for side, name in named.items()
            if row[side] == row[side]
        ]


def is_repeat(axis: str) -> bool:
    """Tell whether an axis repeats a measurement instead of changing what is measured."""
    return axis == "seed" or axis.endswith("_seed")


def configurations(frame: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the values of `axes` as a tuple, and the rows that have them; nothing without rows."""
    if not axes:
        if len(frame):
            yield (), frame
        return
    yield from frame.groupby(list(axes), sort=True)


def summarise(frame: pd.DataFrame, metric: Metric, axes: Sequence[str]) -> pd.DataFrame:
    """Return `axes`, mean, low, high, n, real and noise of `metric` for each point of `axes`.

    The interval is Student's over the rows of a point, within what is possible
    (`bounded_interval`); a single row keeps its own interval, where it was measured.
    """
    name = metric.name
    measured = frame[frame[name].notna()]
    points = measured.groupby(list(axes) if axes else np.zeros(len(measured)), sort=True)
    values = points[name]
    table = pd.DataFrame({"mean": values.mean(), "n": values.count()})
    half = half_width(values.std(), table["n"])
    limits = metric.about.get("valid_min"), metric.about.get("valid_max")
    ends = bounded_interval(table["mean"], half, *limits)
    for side, end in zip(("low", "high"), ends, strict=True):
        table[side] = end
        if f"{name}_{side}" in frame:
            own = points[f"{name}_{side}"].first()
            table[side] = table[side].where(table["n"] > 1, own)
    for side in ("real", "noise"):
        there = f"{name}_{side}" in frame
        table[side] = points[f"{name}_{side}"].mean() if there else np.nan
    return table.reset_index() if axes else table.reset_index(drop=True)


def best(summary: pd.DataFrame, metric: Metric) -> pd.Series[Any]:
    """Return the row of a summary that is best by its mean, the first of several alike."""
    ordered = summary.sort_values("mean", ascending=metric.better == "lower", kind="stable")
    return ordered.iloc[0]


def main_metric(metrics: Sequence[Metric]) -> Metric | None:
    """Return the measure by which settings are ranked: a Fréchet distance before anything else.

    Of those `fid` comes first, then another one on Inception features, then on learned ones.
    """

    def order(metric: Metric) -> tuple[bool, ...]:
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


def interval(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """Write the interval of a row of a summary: "0.188 to 6.35"; "" where there is none.

    Repeats that agree to the last digit, shares of 0 say, do not tell how sure their mean is.
    """
    if not row["low"] < row["high"]:
        return ""
    return f"{number(row['low'])} to {number(row['high'])}"


def number(value: Any) -> str:
    """Write a value with three significant digits: "0.213", "2e-5", "1,500"; "–" where none is."""
    if not isinstance(value, Real):
        return str(value)
    x = float(value)
    if not math.isfinite(x):
        return "–"
    if x < 0:
        return f"−{number(-x)}"
    if x.is_integer() and x < 1e6:
        return f"{x:,.0f}"
    if 999.5 <= x < 1e6:
        return f"{x:,.0f}"
    if 1e-3 <= x < 1e3:
        return f"{x:#.3g}".rstrip(".")
    return _short_exponent(f"{x:.3g}")


def describe(values: Mapping[str, Any]) -> str:
    """Write the values of axes for people: "levels 10, step size 2e-5"."""
    return ", ".join(f"{words(axis)} {coordinate(value)}" for axis, value in values.items())


def coordinate(value: Any) -> str:
    """Write the value of an axis: as short as it was in the study."""
    if isinstance(value, bool):
        return str(value).lower()
    return _short_exponent(f"{value:g}") if isinstance(value, float) else str(value)


def words(name: str) -> str:
    """Return the name of an axis as words."""
    return name.replace("_", " ")


def _short_exponent(text: str) -> str:
    """Return "2e-5" for "2e-05"."""
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if letter else text
