"""Trajectories of samples along the noise ladder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scoresweep.pipeline.report.plots.charts import COLOURS
from scoresweep.pipeline.report.plots.style import WIDTH, styled

__all__ = ["trajectories"]


@styled
def trajectories(states: np.ndarray[Any, Any], sigmas: Sequence[float]) -> Figure:
    """Draw trajectories of points (K, L, D): against σ, or in the first two features.

    `states` are the points at the end of each level.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    panel = figure.add_subplot()
    if states.shape[2] == 1:
        panel.plot(sigmas, states[..., 0].T, linewidth=0.8, alpha=0.7)
        panel.set(xscale="log", xlabel="noise level σ", ylabel="x")
        panel.invert_xaxis()
    else:
        for trajectory in states:
            panel.plot(*trajectory[:, :2].T, linewidth=0.6, alpha=0.6, color="#999999")
        ends = states[:, -1]
        panel.scatter(ends[:, 0], ends[:, 1], s=6, color=COLOURS[0], zorder=3)
    panel.set_title("from the first level to the last")
    return figure
