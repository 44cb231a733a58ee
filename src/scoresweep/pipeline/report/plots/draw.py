"""Draw charts with matplotlib."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.plots.charts import (
    DASHES,
    MAX_ANNOTATED,
    MAX_MARKED_POINTS,
    OUTLINE,
    Axis,
    Cell,
    HeatMap,
    Line,
    LineChart,
)
from scoresweep.pipeline.report.plots.style import WIDTH, legend, styled

__all__ = ["draw_heat_map", "draw_lines"]

LETTERS_PER_INCH = 12
"""Letters of a tick label that fit into an inch."""

ANNOTATED_COLUMNS = 8
"""Maximum number of columns whose cells are wide enough for an interval."""

LONG_INTERVAL = 17
"""Letters of an interval above which it takes two lines."""


@styled
def draw_lines(chart: LineChart) -> Figure:
    """Draw a line chart; the title of the y axis becomes the title of the figure."""
    figure = Figure(figsize=(WIDTH, 3.4))
    panel = figure.add_subplot()
    for line in chart.lines:
        _draw_line(panel, line, chart.error_bars)
    panel.set_xscale("log" if chart.x.log else "linear")
    panel.set_yscale("log" if chart.y.log else "linear")
    if any(line.filled for line in chart.lines):
        panel.set_ylim(bottom=0)
    panel.set(xlabel=chart.x.title, title=textwrap.fill(chart.y.title, 46))
    _set_ticks(figure, panel, chart.x)
    if len(chart.lines) > 1:
        legend(figure, panel)
    return figure


def _draw_line(panel: Axes, line: Line, error_bars: bool) -> None:
    marker = "o" if len(line.x) == 1 else "." if len(line.x) <= MAX_MARKED_POINTS else ""
    look: dict[str, Any] = {"color": line.colour, "linestyle": DASHES.get(line.dash, "")}
    if line.filled:
        panel.fill_between(line.x, line.y, color=line.colour, alpha=0.3, linewidth=0)
    if error_bars and line.low and line.high:
        ends = np.abs(np.array([line.low, line.high]) - line.y)
        panel.errorbar(line.x, line.y, ends, marker="o", capsize=4, label=line.name, **look)
        return
    panel.plot(line.x, line.y, marker=marker, label=line.name, **look)
    if line.low and line.high:
        panel.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.15, linewidth=0)


def _set_ticks(figure: Figure, panel: Axes, axis: Axis) -> None:
    if axis.ticks is None:
        return
    labels = [_tick_label(text) for _, text in axis.ticks]
    width = (_inches(labels) + 0.1) * len(labels)
    figure.set_size_inches(max(WIDTH, min(10.0, width)), figure.get_size_inches()[1])
    panel.set_xticks([at for at, _ in axis.ticks], labels)
    panel.minorticks_off()


@styled
def draw_heat_map(chart: HeatMap) -> Figure:
    """Draw a heat map with value and interval in each cell; the best cell is outlined."""
    columns, rows = [_tick_label(c) for c in chart.columns], [_tick_label(r) for r in chart.rows]
    title = textwrap.fill(chart.title, 46)
    width = 1.4 + _inches(rows) + max(0.9, _inches(columns) + 0.1) * len(columns)
    lines = title.count("\n") + max(label.count("\n") for label in columns)
    row_height = max(0.6, 0.17 * (1 + max(label.count("\n") for label in rows)) + 0.1)
    height = 1.2 + row_height * len(rows) + 0.17 * lines
    figure = Figure(figsize=(max(WIDTH, min(10.0, width)), max(2.0, min(9.0, height))))
    panel = figure.add_subplot()
    values = np.full((len(rows), len(columns)), np.nan)
    for cell in chart.cells:
        values[cell.row, cell.column] = np.nan if cell.value is None else cell.value
    ends = np.nanmin(values), np.nanmax(values)
    norm = LogNorm(*ends) if chart.log else Normalize(*ends)
    colours = "cividis_r" if chart.lower_is_better else "cividis"
    image = panel.imshow(values, colours, aspect="auto", norm=norm)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    panel.set(xlabel=chart.x, ylabel=chart.y, title=title)
    panel.grid(False)
    panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panel, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
    bar.set_ticks(list(np.unique(ends)), labels=[format_number(end) for end in np.unique(ends)])
    if values.size <= MAX_ANNOTATED:
        for cell in chart.cells:
            _annotate(panel, cell, norm, chart, len(columns) <= ANNOTATED_COLUMNS)
    if chart.best:
        corner = chart.best[0] - 0.5, chart.best[1] - 0.5
        panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=OUTLINE, linewidth=3))
    return figure


def _annotate(panel: Axes, cell: Cell, norm: Normalize, chart: HeatMap, is_wide: bool) -> None:
    """Write value and interval into a cell, dark on bright and bright on dark."""
    place: dict[str, Any] = {"ha": "center", "color": "#777777"}
    if cell.value is not None:
        share = float(norm(cell.value))
        is_bright = (1 - share if chart.lower_is_better else share) > 0.5
        place["color"] = "#111111" if is_bright else "#ffffff"
    interval = cell.interval if is_wide else ""
    if len(interval) > LONG_INTERVAL:
        interval = interval.replace(" to ", "\nto ")
    at = cell.column, cell.row
    panel.text(*at, cell.text, va="bottom" if interval else "center", **place)
    if interval:
        panel.text(*at, interval, va="top", fontsize=8, linespacing=1, **place)


def _tick_label(text: str) -> str:
    """Break a label into short lines, the options of a block below its name."""
    name, _, options = text.partition("(")
    lines = textwrap.wrap(options.removesuffix(")"), 20, break_long_words=False)
    return "\n".join([name, *lines])


def _inches(labels: list[str]) -> float:
    """Return the approximate width of the longest line."""
    return max(len(line) for label in labels for line in label.split("\n")) / LETTERS_PER_INCH
