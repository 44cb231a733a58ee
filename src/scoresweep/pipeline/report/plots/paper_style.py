"""Draw line charts at the width of a paper's column, and save them with their fonts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2DBase, ScaledTranslation

from scoresweep.pipeline.report.plots.charts import DASHES, Axis, Line, LineChart
from scoresweep.pipeline.report.plots.style import STYLE, show_dollars
from scoresweep.pipeline.system.atomic_files import atomic_write

__all__ = ["FORMATS", "draw_charts", "save_figure"]

FORMATS = ("pdf", "svg", "png")

PAPER_STYLE: dict[Any, Any] = STYLE | {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType; publishers refuse Type 3
    "svg.fonttype": "path",
    "svg.hashsalt": "scoresweep",
}

MARKERS = "os^Dv<>P"
"""Markers of the lines, which differ in print without colours, too."""

WIDE = 5.0
"""Inches from which panels are side by side."""

LETTERS_PER_INCH = 16
"""Letters of a label that fit into an inch."""

MAX_UPRIGHT = 22
"""Letters of a line of an upright label."""

LINE_HEIGHT = 0.14
"""Inches of a line of text."""

DPI = 300

BAR_DISTANCE = 2.5
"""Points between the error bars of two lines at the same place."""


def draw_charts(charts: Sequence[LineChart], width: float) -> Figure:
    """Draw a panel for each chart in a figure `width` inches wide, with one legend."""
    columns = len(charts) if width >= WIDE else 1
    rows = -(-len(charts) // columns)
    with matplotlib.rc_context(PAPER_STYLE):
        panel_width = width / columns
        height = min(2.6, 0.7 * panel_width)
        named = {line.name: line for chart in charts for line in chart.lines if line.name}
        lines = list(named.values())
        ticks = [_tick_labels(chart.x, panel_width) for chart in charts]
        height += max(taller for *_, taller in ticks)
        figure = Figure(figsize=(width, rows * height + 0.16 * _legend_rows(lines, width)))
        panels = np.atleast_1d(figure.subplots(rows, columns)).flatten()
        for panel, chart, (texts, angle, _) in zip(panels, charts, ticks, strict=True):
            _draw_chart(panel, chart, panel_width, figure.dpi_scale_trans)
            if chart.x.ticks is not None:
                places = [at for at, _ in chart.x.ticks]
                panel.set_xticks(places, texts, rotation=angle)
                panel.minorticks_off()
        if lines:
            found = [panel.get_legend_handles_labels() for panel in panels]
            by_label = {
                n: h for handles, labels in found for h, n in zip(handles, labels, strict=True)
            }
            figure.legend(
                [by_label[name] for name in named],
                list(named),
                loc="outside lower center",
                ncols=_legend_columns(lines, width),
            )
        show_dollars(figure)
        figure.draw_without_rendering()  # lays it out, once for all formats
        figure.set_layout_engine("none")
    return figure


def _draw_chart(panel: Axes, chart: LineChart, width: float, inches: Affine2DBase) -> None:
    count = sum(_is_measured(line) for line in chart.lines)
    for index, line in enumerate(chart.lines):
        # Side by side, so that error bars do not hide each other.
        shift = BAR_DISTANCE * (index - (count - 1) / 2) if _is_measured(line) else 0
        _draw_line(panel, line, index, inches if chart.error_bars else None, shift)
    panel.set_xscale("log" if chart.x.log else "linear")
    panel.set_yscale("log" if chart.y.log else "linear")
    label = textwrap.fill(chart.y.title, max(12, int(width * LETTERS_PER_INCH * 0.6)))
    panel.set(xlabel=chart.x.title, ylabel=label)


def _tick_labels(axis: Axis, width: float) -> tuple[list[str], int, float]:
    """Return the labels of an axis `width` inches long, their angle, and the inches they need.

    Long ones are folded, or upright if a word is longer than the distance of two ticks.
    """
    texts = [text for _, text in axis.ticks or ()]
    room = int(width * 0.75 * LETTERS_PER_INCH / max(1, len(texts)))
    folded = [_folded(text, room) for text in texts]
    longest = max((len(line) for text in folded for line in text.split("\n")), default=0)
    if longest <= room:
        lines = max((text.count("\n") for text in folded), default=0)
        return folded, 0, lines * LINE_HEIGHT
    folded = [_folded(text, MAX_UPRIGHT) for text in texts]
    longest = max(len(line) for text in folded for line in text.split("\n"))
    return folded, 90, longest / LETTERS_PER_INCH


def _folded(text: str, letters: int) -> str:
    """Break a label, such as "name(option=1, other=2)", into lines of up to `letters`."""
    parts = text.replace("(", " (", 1)
    if len(text) <= letters:
        return text
    return textwrap.fill(parts, max(1, letters), break_long_words=False, break_on_hyphens=False)


def _is_measured(line: Line) -> bool:
    return line.dash in ("solid", "none")


def _draw_line(
    panel: Axes, line: Line, index: int, inches: Affine2DBase | None, shift: float
) -> None:
    """Draw a line with error bars, `shift` points to the right, or with a band without `inches`."""
    look: dict[str, Any] = {"color": line.colour, "linestyle": DASHES.get(line.dash, "")}
    look |= {"label": line.name, "marker": MARKERS[index] if _is_measured(line) else ""}
    if line.low and line.high and inches:
        ends = np.abs(np.array([line.low, line.high]) - line.y)
        place = panel.transData + ScaledTranslation(shift / 72, 0, inches)
        bars = panel.errorbar(line.x, line.y, ends, capsize=1.5, elinewidth=0.8, **look)
        for artist in bars.get_children():
            artist.set_transform(place)
        return
    panel.plot(line.x, line.y, **look)
    if line.low and line.high:
        panel.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.15, linewidth=0)


def _legend_columns(lines: Sequence[Line], width: float) -> int:
    longest = max(len(line.name) for line in lines)
    return max(1, min(len(lines), int(width * LETTERS_PER_INCH / (longest + 6))))


def _legend_rows(lines: Sequence[Line], width: float) -> int:
    return -(-len(lines) // _legend_columns(lines, width)) if lines else 0


def save_figure(figure: Figure, path: Path, suffix: str) -> None:
    """Write a figure in one of `FORMATS`, with its fonts; equal figures give equal bytes."""
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[suffix]
    with matplotlib.rc_context(PAPER_STYLE), atomic_write(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)
