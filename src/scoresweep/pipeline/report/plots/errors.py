"""How far scores are from the exact ones: by noise level, by density, in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from scoresweep.pipeline.report.format import format_axes, format_number, is_repeat
from scoresweep.pipeline.report.plots.base import (
    COLOURS,
    WIDTH,
    evenly_spaced,
    legend,
    log_or_linear,
    styled,
)
from scoresweep.pipeline.report.statistics.summary import group_by_axes

__all__ = ["error_by_density", "fields", "score_error"]


@styled
def score_error(frame: pd.DataFrame, column: str, title: str, axes: list[str]) -> Figure:
    """Draw a score error against σ, training points solid and test points dashed.

    `frame` has the columns `sigma`, `level`, `split`, `column` and the run's `axes`. A line is a
    configuration, its band goes from the least to the greatest of the seeds; one without a value,
    an empty place of the grid, is left out.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    panel = figure.add_subplot()
    keys = [axis for axis in axes if not is_repeat(axis)]
    shown = evenly_spaced(list(group_by_axes(frame.dropna(subset=column), keys)))
    for colour, (key, part) in zip(COLOURS, shown, strict=False):
        for split, style in (("train", "-"), ("test", "--")):
            curve = part[part["split"] == split].groupby("level")
            sigma = curve["sigma"].mean()
            panel.plot(sigma, curve[column].mean(), style, color=colour, marker=".")
            low, high = curve[column].min(), curve[column].max()
            panel.fill_between(sigma, low, high, color=colour, alpha=0.15, linewidth=0)
        label = format_axes(dict(zip(keys, key, strict=True)))
        panel.plot([], [], color=colour, label=label or None)
    panel.plot([], [], "-", color="#666666", label="training points")
    panel.plot([], [], "--", color="#666666", label="test points")
    yscale = log_or_linear(frame[column])
    panel.set(xscale="log", yscale=yscale, title=title, xlabel="noise level σ")
    legend(figure, panel)
    return figure


@styled
def error_by_density(frame: pd.DataFrame, column: str, title: str) -> Figure:
    """Draw a score error against the log density of its bin, a line for each noise level.

    `frame` has the columns `split`, `level`, `sigma`, `density_bin`, `log_density_of_bin` and
    `column`; noisy test points and evenly spread ones get a panel each.
    """
    named = {"test": "test points with noise", "uniform": "evenly spread points"}
    splits = [s for s in named if frame.loc[frame["split"] == s, column].notna().any()]
    figure = Figure(figsize=(WIDTH * max(1.0, 0.75 * len(splits)), 3.4))
    panels = figure.subplots(1, len(splits), squeeze=False, sharey=True)[0]
    levels = evenly_spaced(sorted(frame["level"].unique()))
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(levels)))
    for panel, split in zip(panels, splits, strict=True):
        for shade, level in zip(shades, levels, strict=True):
            part = frame[(frame["split"] == split) & (frame["level"] == level)]
            curve = part.groupby("density_bin")[["sigma", "log_density_of_bin", column]].mean()
            label = f"σ = {format_number(curve['sigma'].mean())}"
            panel.plot(
                curve["log_density_of_bin"], curve[column], marker=".", color=shade, label=label
            )
        yscale = log_or_linear(frame[column])
        panel.set(yscale=yscale, xlabel="log density of the bin", title=named[split])
    panels[0].set_ylabel(title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


@styled
def fields(
    x: np.ndarray[Any, Any],
    sigmas: Sequence[float],
    learned: np.ndarray[Any, Any],
    exact: np.ndarray[Any, Any],
) -> Figure:
    """Draw the learned score of points in the plane beside the exact one, a row for each level.

    `x` (P, 2) is a regular grid, `learned` and `exact` are (L, P, 2). Arrows show the direction of
    the score, their length the root of its size; the colour is the error in units of the noise,
    σ ‖s − s*‖.
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
        longest = np.linalg.norm(truth, axis=1).max() ** 0.5
        for panel, score, name in zip(row, (truth, found), ("exact", "network"), strict=True):
            size = np.linalg.norm(score, axis=1, keepdims=True)
            arrows = score / np.sqrt(np.maximum(size, 1e-12)) / longest * 1.4 * cell
            panel.quiver(
                *x.T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.004, pivot="mid"
            )
            panel.set_title(f"{name}, σ = {format_number(sigma)}")
            panel.set_aspect("equal")
            panel.grid(False)
    figure.colorbar(image, ax=panels[:, 1], label="σ ‖s − s*‖", shrink=0.7, extend="both")
    return figure
