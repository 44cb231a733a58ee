"""Training curves."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from scoresweep.pipeline.report.format import format_axes, is_repeat
from scoresweep.pipeline.report.plots.base import COLOURS, WIDTH, evenly_spaced, legend, styled
from scoresweep.pipeline.report.statistics.summary import group_by_axes

__all__ = ["curves"]


@styled
def curves(frame: pd.DataFrame, x: str, y: str, axes: list[str], labels: dict[str, str]) -> Figure:
    """Draw `y` along `x`, one line for each configuration of the run's `axes`, banded over seeds.

    `labels` are the arguments `title`, `xlabel` and so on of matplotlib's `Axes.set`.
    """
    figure = Figure(figsize=(WIDTH, 3.3))
    panel = figure.add_subplot()
    keys = [axis for axis in axes if not is_repeat(axis)]
    for colour, (key, part) in zip(
        COLOURS, evenly_spaced(list(group_by_axes(frame, keys))), strict=False
    ):
        curve = part.dropna(subset=y).groupby(x)[y]
        label = format_axes(dict(zip(keys, key, strict=True)))
        mean = curve.mean()
        marker = "o" if len(mean) == 1 else None  # a line of one point is not seen
        panel.plot(mean, color=colour, marker=marker, label=label or None)
        panel.fill_between(
            mean.index, curve.min(), curve.max(), color=colour, alpha=0.15, linewidth=0
        )
    panel.set(**labels)
    if frame[y].min() > 0 and frame[y].max() > 20 * frame[y].min():
        panel.set_yscale("log")
    if keys:
        legend(figure, panel)
    return figure
