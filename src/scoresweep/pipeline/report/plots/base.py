"""How all figures of the report look: style, size, legends, and what a PNG file is made of.

Colours are Okabe and Ito's eight, which colour-blind people tell apart, and cividis. A figure is
narrow, so that its text stays readable on a phone.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

__all__ = ["COLOURS", "STYLE", "WIDTH", "evenly_spaced", "legend", "log_or_linear", "png", "styled"]

LONG_LABEL = 45
"""Most characters of a label of a legend that stands in its panel."""

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}

WIDTH = 4.9
"""Inches."""

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the report's style and leave matplotlib's settings as they were."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Return a figure as a PNG file of 256 colours; equal figures give equal bytes."""
    drawn, small = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(drawn, format="png", dpi=dpi)
    # A third of the bytes, of which the page has 4/3 of all.
    image = Image.open(drawn).convert("RGB")
    image.quantize(dither=Image.Dither.NONE).save(small, "PNG")
    return small.getvalue()


def log_or_linear(values: pd.Series[float]) -> str:
    """Return the scale "log", or "linear" where no value is positive: there is no log of zeros."""
    return "log" if (values > 0).any() else "linear"


def legend(figure: Figure, panel: Axes) -> None:
    """Put a legend into the panel, or below it where its labels are too long for that."""
    handles, labels = panel.get_legend_handles_labels()
    if max(map(len, labels)) <= LONG_LABEL:
        panel.legend()
        return
    width, height = figure.get_size_inches()
    lines = [textwrap.fill(label, 72) for label in labels]
    figure.set_size_inches(width, height + 0.17 * sum(line.count("\n") + 1 for line in lines))
    figure.legend(handles, lines, loc="outside lower left", fontsize=8)


def evenly_spaced(items: list[Any]) -> list[Any]:
    """Return at most as many items as there are colours, evenly spread over the list."""
    if len(items) <= len(COLOURS):
        return items
    chosen = np.linspace(0, len(items) - 1, len(COLOURS)).round().astype(int)
    return [items[index] for index in chosen]
