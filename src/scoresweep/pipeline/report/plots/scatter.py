"""Samples that are points."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scoresweep.pipeline.report.plots.charts import COLOURS
from scoresweep.pipeline.report.plots.style import styled

__all__ = ["points"]


@styled
def points(
    drawn: np.ndarray[Any, Any] | None, real: np.ndarray[Any, Any], width: float = 2.6
) -> Figure:
    """Draw points (N, D) over real ones: a histogram, or a scatter of the two widest features.

    Without `drawn`, only real ones. `width` is in inches; from 4 on the figure has a legend.
    """
    figure = Figure(figsize=(width, width))
    axes = figure.add_subplot()
    sets = [("real", real, "#bbbbbb"), *([] if drawn is None else [("drawn", drawn, COLOURS[0])])]
    features = np.sort(np.argsort(-real.std(axis=0), kind="stable")[:2])
    margin = 0.2 * np.ptp(real[:, features], axis=0)
    low, high = real[:, features].min(0) - margin, real[:, features].max(0) + margin
    if len(features) == 1:
        edges = np.linspace(low[0], high[0], 57)
        for label, values, colour in sets:
            density = np.histogram(values[:, 0], edges)[0] / len(values) / np.diff(edges)
            axes.stairs(density, edges, fill=label == "real", color=colour, label=label)
    else:
        for label, values, colour in sets:
            axes.scatter(values[:, features[0]], values[:, features[1]], 2, colour, label=label)
        centre, half = (low + high) / 2, (high - low).max() / 2
        low, high = centre - half, centre + half
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        if real.shape[1] > 2:
            axes.set(xlabel=f"feature {features[0] + 1}", ylabel=f"feature {features[1] + 1}")
    if width >= 4:
        figure.legend(loc="outside upper left", ncols=2, markerscale=3)
    axes.tick_params(labelsize=8)
    return figure
