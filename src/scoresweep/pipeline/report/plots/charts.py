"""Charts as data. The page draws them with Plotly, `plots.draw` with matplotlib for paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from scoresweep.pipeline.report.format import format_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLOURS",
    "Axis",
    "Cell",
    "HeatMap",
    "Line",
    "LineChart",
    "chart_constants",
    "is_wide_range",
    "rounded",
]

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
"""Okabe and Ito's colours, which colour-blind people can tell apart."""

OUTLINE = "#D55E00"
"""Colour around the best cell of a heat map."""

DASHES = {"solid": "-", "dash": "--", "dot": ":"}
"""Plotly's name of a dash to matplotlib's."""

MAX_ANNOTATED = 120
"""Maximum number of cells of a heat map that show their value."""

MAX_MARKED_POINTS = 60
"""Maximum number of points of a line that have a marker each."""

DIGITS = 5
"""Significant digits of a number in a chart."""


@dataclass(frozen=True)
class Axis:
    """An axis of a chart."""

    title: str
    log: bool = False
    ticks: Sequence[tuple[float, str]] | None = None
    """Positions and labels; None lets the renderer choose."""


@dataclass(frozen=True)
class Line:
    """A line with an optional interval around every point."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    colour: str = COLOURS[0]
    dash: Literal["solid", "dash", "dot", "none"] = "solid"
    """"none" draws markers only."""
    filled: bool = False
    """Whether the area below is filled."""
    of: int = 0
    """Number of configurations if only some of them have a line."""

    @property
    def labels(self) -> list[str]:
        """Text of each point: its coordinates, formatted."""
        return [
            f"{format_number(x)}: {format_number(y)}" for x, y in zip(self.x, self.y, strict=True)
        ]


@dataclass(frozen=True)
class LineChart:
    """Lines over one axis; intervals are bands or, over a few settings, error bars."""

    x: Axis
    y: Axis
    lines: list[Line]
    error_bars: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the page."""
        lines = [
            {k: v for k, v in asdict(line).items() if v} | {"labels": line.labels}
            for line in self.lines
        ]
        return {"x": asdict(self.x), "y": asdict(self.y), "lines": lines}


class Cell(NamedTuple):
    """A cell of a heat map; None is a value that is missing."""

    column: int
    row: int
    value: float | None
    text: str
    interval: str = ""


@dataclass(frozen=True)
class HeatMap:
    """A value over two axes; bright is better."""

    title: str
    x: str
    y: str
    columns: list[str]
    rows: list[str]
    cells: list[Cell]
    lower_is_better: bool
    log: bool
    best: tuple[int, int] | None = None
    """Column and row of the cell to outline."""


def chart_constants() -> dict[str, Any]:
    """Return the constants that `page/charts.js` and `page/explorer.js` share with `plots.draw`."""
    return {
        "colours": COLOURS,
        "dashes": list(DASHES),
        "outline": OUTLINE,
        "max_annotated": MAX_ANNOTATED,
        "max_marked_points": MAX_MARKED_POINTS,
    }


def is_wide_range(values: Sequence[float] | pd.Series[float], factor: float) -> bool:
    """Return whether all values are positive and the largest exceeds `factor` times the least."""
    return len(values) > 0 and min(values) > 0 and max(values) > factor * min(values)


def rounded(value: float) -> float | None:
    """Round to the digits that a chart needs; None for NaN and infinity."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
