"""The figures of the report, one function each; they take tables and return matplotlib figures."""

from __future__ import annotations

from scoresweep.report.figures.base import COLOURS, log_or_linear, png, spread
from scoresweep.report.figures.classes import shares
from scoresweep.report.figures.density import densities, fit
from scoresweep.report.figures.errors import error_by_density, fields, score_error
from scoresweep.report.figures.images import pairs, side_by_side
from scoresweep.report.figures.maps import heat_map, lines
from scoresweep.report.figures.scatter import points
from scoresweep.report.figures.training import curves
from scoresweep.report.figures.trajectories import walks

__all__ = [
    "COLOURS",
    "curves",
    "densities",
    "error_by_density",
    "fields",
    "fit",
    "heat_map",
    "lines",
    "log_or_linear",
    "pairs",
    "png",
    "points",
    "score_error",
    "shares",
    "side_by_side",
    "spread",
    "walks",
]
