"""Densities that scores on a line stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scoresweep.pipeline.report.format import format_axes, is_repeat
from scoresweep.pipeline.report.plots.base import COLOURS, WIDTH, evenly_spaced, legend, styled
from scoresweep.pipeline.report.statistics.summary import group_by_axes

__all__ = ["densities", "score_and_density"]


@styled
def densities(frame: pd.DataFrame, axes: list[str]) -> Figure:
    """Draw recovered densities over the exact one, a line for each configuration of `axes`.

    `frame` has the columns `density_point`, `density_x`, `density`, `density_exact` and `axes`.
    """
    figure = Figure(figsize=(WIDTH, 3.4))
    panel = figure.add_subplot()
    keys = [axis for axis in axes if not is_repeat(axis)]
    whole = frame.groupby("density_point")[["density_x", "density_exact"]].mean()
    panel.fill_between(
        whole["density_x"], whole["density_exact"], color="#cccccc", linewidth=0, label="exact"
    )
    shown = evenly_spaced(list(group_by_axes(frame, keys)))
    for colour, (key, part) in zip(COLOURS, shown, strict=False):
        curve = part.groupby("density_point")
        x, density = curve["density_x"].mean(), curve["density"]
        label = format_axes(dict(zip(keys, key, strict=True))) or "recovered"
        panel.plot(x, density.mean(), color=colour, label=label)
        panel.fill_between(x, density.min(), density.max(), color=colour, alpha=0.15, linewidth=0)
    panel.set_ylim(bottom=0)
    panel.set(xlabel="x", title="density recovered from the score")
    legend(figure, panel)
    return figure


@styled
def score_and_density(
    x: np.ndarray[Any, Any],
    density: np.ndarray[Any, Any],
    exact: np.ndarray[Any, Any],
    title: str,
) -> Figure:
    """Draw a score on a line beside the exact one, and the densities (P,) that they stand for.

    Scores are the slopes of the log densities; the exact one sets the limits of both panels.
    """
    figure = Figure(figsize=(1.3 * WIDTH, 2.9))
    left, right = figure.subplots(1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        truth, found = (np.gradient(np.log(each), x) for each in (exact, density))
    known = truth[np.isfinite(truth)]  # far from all data the density is 0 in float64
    left.plot(x, truth, color="#999999", label="exact")
    left.plot(x, found, color=COLOURS[0], label="network")
    left.set(xlabel="x", title=title)
    if known.size and np.ptp(known):
        room = 0.2 * np.ptp(known)
        left.set_ylim(known.min() - room, known.max() + room)
    left.legend()
    right.fill_between(x, exact, color="#cccccc", linewidth=0)
    right.plot(x, density, color=COLOURS[0])
    right.set(xlabel="x", title="density", ylim=(0, 1.4 * exact.max() or 1))
    return figure
