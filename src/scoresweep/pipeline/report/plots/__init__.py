"""The figures of the report: charts as data, and functions that draw figures with matplotlib."""

from __future__ import annotations

from scoresweep.pipeline.report.plots.charts import (
    COLOURS,
    Axis,
    Cell,
    HeatMap,
    Line,
    LineChart,
    chart_constants,
    is_wide_range,
    rounded,
)
from scoresweep.pipeline.report.plots.class_shares import shares
from scoresweep.pipeline.report.plots.density import score_and_density
from scoresweep.pipeline.report.plots.draw import draw_heat_map, draw_lines
from scoresweep.pipeline.report.plots.fields import fields
from scoresweep.pipeline.report.plots.images import pairs, side_by_side
from scoresweep.pipeline.report.plots.scatter import points
from scoresweep.pipeline.report.plots.style import pdf, png
from scoresweep.pipeline.report.plots.trajectories import trajectories

__all__ = [
    "COLOURS",
    "Axis",
    "Cell",
    "HeatMap",
    "Line",
    "LineChart",
    "chart_constants",
    "draw_heat_map",
    "draw_lines",
    "fields",
    "is_wide_range",
    "pairs",
    "pdf",
    "png",
    "points",
    "rounded",
    "score_and_density",
    "shares",
    "side_by_side",
    "trajectories",
]
