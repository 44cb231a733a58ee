"""Figures of a report with their captions, and what they share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from scoresweep.pipeline.report.format import format_axes
from scoresweep.pipeline.report.plots import COLOURS, HeatMap, Line, LineChart, rounded
from scoresweep.pipeline.report.plots.second_process import Files, draw
from scoresweep.pipeline.report.statistics.summary import group_by_axes
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study.axis_names import is_repeat

__all__ = [
    "CaptionedFigure",
    "by_configuration",
    "captioned",
    "configuration_lines",
    "evenly_spaced",
    "file_name",
    "incomparable_axes",
    "level_lines",
    "mean_line",
    "title_suffix",
    "to_frame",
    "varied_axes",
]

CONFIGURATIONS = 4
"""Maximum number of training configurations with figures of their own."""

CURVE_POINTS = 200
"""Maximum number of points of a line."""


class CaptionedFigure(NamedTuple):
    """A figure of the page and of the folder `figures/`."""

    name: str
    """Name of the file, without suffix."""
    title: str
    caption: str
    files: Files | Future[Files]
    panel: str = ""
    """Title of the interactive panel that shows `chart`; other figures are shown as they are."""
    chart: LineChart | HeatMap | None = None
    """What an interactive chart shows too; then the PNG is for paper."""
    pixels: bool = False
    """Whether it is enlarged pixels, which a page must not smooth."""

    @property
    def png(self) -> bytes:
        """The figure as a PNG file."""
        return self._drawn()[0]

    @property
    def pdf(self) -> bytes:
        """The figure as a PDF file."""
        return self._drawn()[1]

    def _drawn(self) -> Files:
        return self.files.result() if isinstance(self.files, Future) else self.files


def captioned(
    name: str, title: str, caption: str, content: LineChart | HeatMap | Figure, panel: str = ""
) -> CaptionedFigure:
    """Draw `content`, and add to the caption what its bands and its lines are."""
    if isinstance(content, LineChart):
        caption = " ".join([caption, *_line_notes(content)])
    chart = None if isinstance(content, Figure) else content
    return CaptionedFigure(name, title, caption, draw(content), panel, chart)


def _line_notes(chart: LineChart) -> Iterator[str]:
    if not chart.error_bars and any(line.low for line in chart.lines):
        yield "Bands span the seeds, from the least to the greatest value."
    if many := max((line.of for line in chart.lines), default=0):
        shown = len({line.colour for line in chart.lines if line.of})
        yield f"{shown} of {many} configurations are shown, evenly spaced."


def configuration_lines(
    frame: pd.DataFrame,
    x: str,
    y: str,
    axes: Sequence[str],
    at: str | None = None,
    suffix: str = "",
    dash: Literal["solid", "dash"] = "solid",
) -> list[Line]:
    """Return a line for each configuration of `axes`, with a band over seeds.

    Points that share `at` (by default `x`) are averaged. At most as many configurations as there
    are colours are shown, evenly spaced. `suffix` ends the name of each line.
    """
    valid = frame.dropna(subset=[x, y])
    keys = [a for a in axes if a in valid and not is_repeat(a) and valid[a].nunique() > 1]
    groups = list(group_by_axes(valid, keys))
    groups.sort(key=lambda group: group[1].index[0])  # the order of the study
    shown = evenly_spaced(groups)
    of = len(groups) if len(shown) < len(groups) else 0
    return [
        mean_line(
            part,
            x,
            y,
            at or x,
            ", ".join(t for t in (format_axes(dict(zip(keys, key, strict=True))), suffix) if t),
            colour=colour,
            dash=dash,
            of=of,
        )
        for colour, (key, part) in zip(COLOURS, shown, strict=False)
    ]


def mean_line(frame: pd.DataFrame, x: str, y: str, at: str, name: str, **look: Any) -> Line:
    """Return the mean of `y` at each value of `at`, with a band from least to greatest."""
    points = frame.groupby(at)
    table = pd.DataFrame({"x": points[x].mean(), "y": points[y].mean()})
    table["low"], table["high"] = points[y].min(), points[y].max()
    every = max(1, -(-len(table) // CURVE_POINTS))
    table = table.iloc[(len(table) - 1) % every :: every].map(rounded)
    is_banded = bool((table["low"] < table["high"]).any())
    x_values, y_values, low, high = (table[column].tolist() for column in table)
    band = (low, high) if is_banded else (None, None)
    return Line(name, x_values, y_values, *band, **look)


def level_lines(frame: pd.DataFrame, x: str, y: str, at: str) -> list[Line]:
    """Return a line for each noise level of `frame`, from blue to orange."""
    valid = frame.dropna(subset=[x, y])
    levels = evenly_spaced([group for _, group in valid.groupby("level")])
    shades = [index / max(1, len(levels) - 1) for index in range(len(levels))]
    return [
        mean_line(group, x, y, at, f"σ = {group['sigma'].mean():.3g}", colour=_shade(shade))
        for shade, group in zip(shades, levels, strict=True)
    ]


def _shade(share: float) -> str:
    """Return a colour between blue (0) and orange (1)."""
    ends = zip((0, 114, 178), (230, 159, 0), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in ends)


def evenly_spaced(items: list[Any]) -> list[Any]:
    """Return at most as many items as there are colours, evenly spaced over the list."""
    limit = len(COLOURS)
    if len(items) <= limit:
        return items
    return [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def incomparable_axes(data: ReportData) -> list[str]:
    """Return the axes whose values cannot be averaged or compared."""
    incomparable = ("dataset", COUNT, *data.evaluation_axes)
    return [axis for axis in data.axes if axis in incomparable and not is_repeat(axis)]


def varied_axes(data: ReportData) -> list[str]:
    """Return the axes whose values make a configuration: all but repeats."""
    return [axis for axis in data.axes if not is_repeat(axis)]


def by_configuration(
    data: ReportData, frame: pd.DataFrame, column: str, max_count: int = CONFIGURATIONS
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the axes and rows of the first configurations of trained networks."""
    trained = frame[~frame["run"].isin(data.exact_runs) & frame[column].notna()]
    axes = [a for a in varied_axes(data) if a in frame and trained[a].nunique() > 1]
    for key, part in itertools.islice(group_by_axes(trained, axes), max_count):
        yield dict(zip(axes, key, strict=True)), part


def to_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """Return a row for each point of the dimensions of `dataset`."""
    if not dataset.sizes:  # one run, and nothing that varies
        dataset = dataset.expand_dims("row")
    return dataset.to_dataframe().reset_index()


def title_suffix(point: dict[str, Any]) -> str:
    """Return ", levels 10" and the like, or "" for a study without varied axes."""
    return f", {format_axes(point)}" if point else ""


def file_name(*parts: object) -> str:
    """Join parts to a file name that every file system accepts."""
    name = "_".join(map(str, parts))
    return "".join(c if c.isalnum() or c in "=._+-" else "-" for c in name)[:180]
