"""Line charts for a paper, of numbers of a report's summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_axes, format_value, humanize
from scoresweep.pipeline.report.plots import COLOURS, Axis, Line, LineChart, is_wide_range
from scoresweep.pipeline.report.saved_summary import SavedSummary
from scoresweep.pipeline.report.statistics.summary import group_by_axes

__all__ = ["paper_charts"]

LOG_FACTOR = 8
"""Values that span more than this factor are shown on a logarithmic scale."""

MAX_TICKS = 6
"""Numbers on the x axis up to which each has a tick."""

MANY_POINTS = 12
"""Points of a line above which its intervals are a band; below, error bars."""


def paper_charts(
    summary: SavedSummary,
    x: str,
    lines: Sequence[str] = (),
    metrics: Sequence[str] = (),
    at: Sequence[str] = (),
) -> list[LineChart]:
    """Return a chart for each of `metrics`, with a line for each point of the axes `lines`.

    The default is the main metric; `at` fixes other axes. A dotted line is the value of real
    samples, unless it differs between the lines. Raises `InputError` for an unknown axis, value
    or metric, an axis named twice, axes that vary at a point, and more lines than there are
    colours.
    """
    along = summary.axis(x, "--x")
    each = [summary.axis(name, "--line") for name in lines]
    named = [along, *each]
    if twice := next((axis for axis in named if named.count(axis) > 1), None):
        raise InputError(f"--x, --line: {twice} is named twice; name each axis once")
    names = [summary.metric(name) for name in metrics] or list(summary.metrics)[:1]
    chosen = summary.at(at)
    cells = chosen.cells(names, {along: "--x"} | dict.fromkeys(each, "--line"), "--line")
    count = len(cells[each].drop_duplicates()) if each else 1
    if count > len(COLOURS):
        raise InputError(
            f"--line {','.join(each)}: {count} lines, expected at most {len(COLOURS)}; fix axes "
            f"by --at"
        )
    return [
        _chart(cells[cells["metric"] == name], along, each, summary.metrics[name], summary.within)
        for name in names
    ]


def _chart(
    cells: pd.DataFrame, x: str, each: list[str], facts: dict[str, str], within: Sequence[str]
) -> LineChart:
    """Return the chart of one metric."""
    values = list(dict.fromkeys(cells[x].tolist()))
    is_number = cells[x].dtype.kind in "fiu"
    values = sorted(values) if is_number else values
    places = values if is_number else list(range(len(values)))
    at = {value: float(place) for value, place in zip(values, places, strict=True)}
    lines = [
        _line(part, x, at, format_axes(dict(zip(each, _tuple(key), strict=True))), colour)
        for (key, part), colour in zip(group_by_axes(cells, each), COLOURS, strict=False)
    ]
    if cells["real"].notna().any() and not set(each) & set(within):
        lines.append(_real(cells, x, at, varies=x in within))
    numbers = [y for line in lines for y in line.y]
    is_log = min(numbers) > 0 and is_wide_range(cells["mean"], LOG_FACTOR)
    unit = facts["units"]
    label = facts["title"]
    label += f" [{unit}]" if unit not in ("", "1") and unit not in label else ""
    ticks = [(at[value], format_value(value)) for value in values]
    return LineChart(
        Axis(
            humanize(x),
            is_number and is_wide_range(list(at.values()), LOG_FACTOR),
            ticks if not is_number or len(ticks) <= MAX_TICKS else None,
        ),
        Axis(label, is_log),
        lines,
        error_bars=len(values) <= MANY_POINTS,
    )


def _real(cells: pd.DataFrame, x: str, at: dict[Any, float], *, varies: bool) -> Line:
    """Return the line of real samples, whose value may vary along x, such as with the count."""
    real = cells.groupby(x)["real"].mean().dropna()
    points = sorted((at[value], float(y)) for value, y in real.items())
    if not varies:
        mean = float(cells["real"].mean())
        points = [(min(at.values()), mean), (max(at.values()), mean)]
    places, values = (list(each) for each in zip(*points, strict=True))
    return Line("real samples", places, values, colour="#666666", dash="dot")


def _tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _line(part: pd.DataFrame, x: str, at: dict[Any, float], name: str, colour: str) -> Line:
    ordered = part.assign(_at=part[x].map(at)).sort_values("_at")
    low, high = (ordered[side].fillna(ordered["mean"]).tolist() for side in ("low", "high"))
    # A line between two methods would mean nothing.
    dash: Literal["solid", "none"] = "solid" if part[x].dtype.kind in "fiu" else "none"
    places, means = ordered["_at"].tolist(), ordered["mean"].tolist()
    return Line(name, places, means, low, high, colour, dash)
