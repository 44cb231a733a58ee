"""Shares of classes, modes and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from scoresweep.pipeline.report.plots.charts import COLOURS
from scoresweep.pipeline.report.plots.style import WIDTH, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["shares"]


@styled
def shares(frame: pd.DataFrame, kind: str) -> Figure:
    """Draw bars of the columns of `frame`: shares of each class, mode and so on (its index).

    The first column is of drawn samples; the others, its references, are grey.
    """
    figure = Figure(figsize=(WIDTH, 3.2))
    panel = figure.add_subplot()
    at = np.arange(len(frame))
    width = 0.8 / len(frame.columns)
    colours = [COLOURS[0], "#bbbbbb", "#777777"]
    for index, (name, column) in enumerate(frame.items()):
        left = at - 0.4 + index * width
        panel.bar(left, column, width, align="edge", color=colours[index], label=str(name))
    if len(frame.columns) > 1:
        panel.legend(loc="upper right", ncols=len(frame.columns), columnspacing=1)
    panel.set_ylim(top=1.2 * panel.get_ylim()[1])
    panel.set_axisbelow(True)
    panel.set_xticks(at, [str(name) for name in frame.index])
    panel.yaxis.set_major_formatter(PercentFormatter(1))
    panel.set(xlabel=kind, title=f"share of samples in each {kind}")
    panel.grid(False, axis="x")
    return figure
