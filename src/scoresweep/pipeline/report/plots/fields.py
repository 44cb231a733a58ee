"""Scores in the plane: the learned one next to the exact one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.plots.style import WIDTH, styled

__all__ = ["fields"]

Array = np.ndarray[Any, Any]


@styled
def fields(
    x: Array,
    sigmas: Sequence[float],
    learned: Array,
    exact: Array,
) -> Figure:
    """Draw the learned score of points in the plane next to the exact one, a row for each level.

    `x` (P, 2) is a regular grid, `learned` and `exact` are (L, P, 2). Arrows show the
    direction of the score, their length the square root of its norm; the colour is the error in
    units of the noise, σ ‖s − s*‖.
    """
    side = round(len(x) ** 0.5)
    figure = Figure(figsize=(1.45 * WIDTH, 0.2 + 0.66 * WIDTH * len(sigmas)))
    panels = figure.subplots(len(sigmas), 2, squeeze=False, sharex=True, sharey=True)
    cell = np.ptp(x, axis=0).max() / (side - 1)
    norm = LogNorm(1e-2, 1e1)
    for row, sigma, found, truth in zip(panels, sigmas, learned, exact, strict=True):
        error = sigma * np.linalg.norm(found - truth, axis=1)
        corners = x.reshape(side, side, 2)
        image = row[1].pcolormesh(
            corners[..., 0],
            corners[..., 1],
            error.reshape(side, side),
            norm=norm,
            cmap="YlOrRd",
            alpha=0.75,
            edgecolors="none",
            shading="nearest",
        )
        length = 1.4 * cell / np.linalg.norm(truth, axis=1).max() ** 0.5
        for panel, score, name in zip(row, (truth, found), ("exact", "network"), strict=True):
            _draw_arrows(panel, x, score, length)
            panel.set_title(f"{name}, σ = {format_number(sigma)}")
            panel.set_aspect("equal")
            panel.grid(False)
    figure.colorbar(image, ax=panels[:, 1], label="σ ‖s − s*‖", shrink=0.7, extend="both")
    return figure


def _draw_arrows(panel: Axes, x: Array, score: Array, length: float) -> None:
    """Draw an arrow at each point; one of a score of norm 1 has this `length`."""
    size = np.linalg.norm(score, axis=1, keepdims=True)
    arrows = length * score / np.sqrt(np.maximum(size, 1e-12))
    panel.quiver(*x.T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.004, pivot="mid")
