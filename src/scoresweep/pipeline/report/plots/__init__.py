"""The figures of the report, one function each; they take tables and return matplotlib figures."""

from __future__ import annotations

from scoresweep.pipeline.report.plots.base import COLOURS, evenly_spaced, log_or_linear, png
from scoresweep.pipeline.report.plots.classes import shares
from scoresweep.pipeline.report.plots.density import densities, score_and_density
from scoresweep.pipeline.report.plots.errors import error_by_density, fields, score_error
from scoresweep.pipeline.report.plots.images import pairs, side_by_side
from scoresweep.pipeline.report.plots.maps import heat_map, lines
from scoresweep.pipeline.report.plots.scatter import points
from scoresweep.pipeline.report.plots.training import curves
from scoresweep.pipeline.report.plots.trajectories import trajectories

__all__ = [
    "COLOURS",
    "curves",
    "densities",
    "error_by_density",
    "evenly_spaced",
    "fields",
    "heat_map",
    "lines",
    "log_or_linear",
    "pairs",
    "png",
    "points",
    "score_and_density",
    "score_error",
    "shares",
    "side_by_side",
    "trajectories",
]
