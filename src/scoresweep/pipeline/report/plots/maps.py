"""A measure over two axes or along one."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scoresweep.pipeline.report.format import format_interval, format_number, format_value, humanize
from scoresweep.pipeline.report.plots.base import WIDTH, styled
from scoresweep.pipeline.report.statistics.summary import RankedMetric, best_first

__all__ = ["heat_map", "lines"]

LETTERS = 12
"""Letters of a tick's label that fit in an inch."""

ANNOTATED = 120
"""Most cells of a heat map that carry their value."""

ANNOTATED_COLUMNS = 8
"""Most columns whose cells are wide enough for an interval."""

LONG_SPAN = 17
"""Letters of an interval above which it takes two lines of a cell."""


@styled
def heat_map(summary: pd.DataFrame, metric: RankedMetric, x: str, y: str) -> Figure:
    """Draw the mean of a metric over the axes `x` and `y`, with its interval in each cell.

    `summary` has one row for each cell (`summarise`); one that has a row without a mean is called
    missing. Bright is better; the best is outlined, of a metric that ranks.
    """
    columns, rows = _values(summary, x), _values(summary, y)
    mean = _cells(summary, "mean", x, y)
    below, beside = [_tick(v) for v in columns], [_tick(v) for v in rows]
    width = 1.4 + _inches(beside) + max(0.9, _inches(below) + 0.1) * len(columns)
    title = _wrapped(metric.title)
    text = title.count("\n") + max(label.count("\n") for label in below)
    height = 1.2 + 0.6 * len(rows) + 0.17 * text
    figure = Figure(figsize=(max(WIDTH, min(10.0, width)), max(2.0, min(9.0, height))))
    axes = figure.add_subplot()
    axes.grid(False)
    lower = metric.better == "lower"
    norm = _norm(mean)
    image = axes.imshow(mean, "cividis_r" if lower else "cividis", aspect="auto", norm=norm)
    axes.set_xticks(range(len(columns)), below)
    axes.set_yticks(range(len(rows)), beside)
    axes.set(xlabel=humanize(x), ylabel=humanize(y), title=title)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
    ticks = np.unique([np.nanmin(mean), np.nanmax(mean)])
    bar.set_ticks(list(ticks), labels=[format_number(tick) for tick in ticks])
    if mean.size <= ANNOTATED:
        few = len(columns) <= ANNOTATED_COLUMNS
        rows_of = (
            {(row[y], row[x]): format_interval(row) for _, row in summary.iterrows()} if few else {}
        )
        spans = [[rows_of.get((row, column), "") for column in columns] for row in rows]
        _annotate(axes, mean, spans, norm, lower)
        for _, row in summary[summary["mean"].isna()].iterrows():
            place = columns.index(row[x]), rows.index(row[y])
            axes.text(*place, "missing", ha="center", va="center", color="#777777")
    if not metric.caveat:
        top = best_first(summary, metric).iloc[0]
        at = columns.index(top[x]) - 0.5, rows.index(top[y]) - 0.5
        axes.add_patch(Rectangle(at, 1, 1, fill=False, edgecolor="#D55E00", linewidth=3))
    return figure


@styled
def lines(summary: pd.DataFrame, metric: RankedMetric, x: str) -> Figure:
    """Draw the mean of a metric with its interval along the one axis `x`, and real samples'."""
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.add_subplot()
    ordered = summary.sort_values(x)
    values = ordered[x].tolist()
    mean, ends = ordered["mean"].to_numpy(), ordered[["low", "high"]].to_numpy().T
    error = np.nan_to_num(np.abs(ends - mean))
    if ordered[x].dtype.kind in "fiu":
        axes.errorbar(values, mean, error, marker="o", capsize=4)
        if min(values) > 0 and max(values) / min(values) >= 8:
            axes.set_xscale("log")
        axes.set_xticks(values, [format_value(v) for v in values])
        axes.minorticks_off()
    else:
        axes.errorbar(range(len(values)), mean, error, marker="o", linestyle="", capsize=4)
        labels = [_tick(value) for value in values]
        figure.set_size_inches(max(WIDTH, (_inches(labels) + 0.1) * len(values)), 3.2)
        axes.set_xticks(range(len(values)), labels)
    means = summary[["real", "noise"]].mean()
    if np.isfinite(real := means["real"]):
        reference = metric.references(means)[0]
        axes.axhline(real, color="#666666", linestyle=":", label=reference)
        figure.legend(loc="outside lower left")
    axes.set(xlabel=humanize(x), title=_wrapped(metric.title))
    return figure


def _wrapped(title: str) -> str:
    return textwrap.fill(title, 46)


def _tick(value: Any) -> str:
    """Write the value of an axis in short lines, the options of a block below its name."""
    name, _, options = format_value(value).partition("(")
    lines = textwrap.wrap(options.removesuffix(")"), 20, break_long_words=False)
    return "\n".join([name, *lines])


def _inches(labels: list[str]) -> float:
    """Return the width of the longest line, about."""
    return max(len(line) for label in labels for line in label.split("\n")) / LETTERS


def _values(summary: pd.DataFrame, axis: str) -> list[Any]:
    """Return the values along an axis: numbers in rising order, texts as they come."""
    values = list(dict.fromkeys(summary[axis].tolist()))
    return sorted(values) if summary[axis].dtype.kind in "fiu" else values


def _cells(summary: pd.DataFrame, column: str, x: str, y: str) -> np.ndarray[Any, Any]:
    table = summary.pivot(index=y, columns=x, values=column)
    table = table.reindex(index=_values(summary, y), columns=_values(summary, x))
    return table.to_numpy(dtype=np.float64)


def _norm(mean: np.ndarray[Any, Any]) -> Normalize:
    """Return a logarithmic colour scale where the values span more than a factor of eight."""
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    return LogNorm(low, high) if low > 0 and high > 8 * low else Normalize(low, high)


def _annotate(
    axes: Axes,
    mean: np.ndarray[Any, Any],
    spans: list[list[str]],
    norm: Normalize,
    lower: bool,
) -> None:
    """Write mean and interval into the cells, dark on bright and bright on dark."""
    for (row, column), value in np.ndenumerate(mean):
        if not np.isfinite(value):
            continue
        share = float(norm(value))
        colour = "#111111" if (1 - share if lower else share) > 0.5 else "#ffffff"
        place: dict[str, Any] = {"ha": "center", "color": colour}
        span = spans[row][column]
        axes.text(column, row, format_number(value), va="bottom" if span else "center", **place)
        if span:
            lines = span if len(span) <= LONG_SPAN else span.replace(" to ", "\nto ")
            axes.text(column, row, lines, va="top", fontsize=8, linespacing=1, **place)
