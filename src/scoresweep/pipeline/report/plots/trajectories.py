"""The ways of samples down the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scoresweep.pipeline.report.plots.base import COLOURS, WIDTH, styled

__all__ = ["trajectories"]


@styled
def trajectories(states: np.ndarray[Any, Any], sigmas: Sequence[float]) -> Figure:
    """Draw the ways of points (K, L, D) down the ladder: against σ, or in the first two features.

    The states are those in which the points leave each level.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    panel = figure.add_subplot()
    if states.shape[2] == 1:
        panel.plot(sigmas, states[..., 0].T, linewidth=0.8, alpha=0.7)
        panel.set(xscale="log", xlabel="noise level σ", ylabel="x")
        panel.invert_xaxis()
    else:
        for way in states:
            panel.plot(*way[:, :2].T, linewidth=0.6, alpha=0.6, color="#999999")
        ends = states[:, -1]
        panel.scatter(ends[:, 0], ends[:, 1], s=6, color=COLOURS[0], zorder=3)
    panel.set_title("from the first level to the last")
    return figure
