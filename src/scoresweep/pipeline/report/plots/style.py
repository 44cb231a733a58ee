"""Style, size, legends and file formats of all figures.

A figure is narrow, so that its text stays readable on a phone.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from PIL import Image

from scoresweep.pipeline.report.plots.charts import COLOURS

__all__ = ["STYLE", "WIDTH", "legend", "pdf", "png", "show_dollars", "styled"]

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


def show_dollars(figure: Figure) -> None:
    """Show dollar signs of names and labels as such; matplotlib would read formulas."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(_escaped(text.get_text()))
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        formatter = axis.get_major_formatter()
        if isinstance(formatter, FuncFormatter):  # of ticks with names
            axis.set_major_formatter(partial(_escaped_tick, formatter))


def _escaped_tick(names: FuncFormatter, at: float, place: int | None) -> str:
    return _escaped(names(at, place))


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Return a figure as a PNG file of 256 colours; equal figures give equal bytes."""
    figure.set_dpi(dpi)
    show_dollars(figure)
    canvas: Any = FigureCanvasAgg(figure)
    small = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        canvas.draw()  # once; `savefig` draws twice
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # 256 colours take a third of the bytes.
    image.quantize(dither=Image.Dither.NONE).save(small, "PNG")
    return small.getvalue()


def pdf(figure: Figure) -> bytes:
    """Return a figure that `png` has laid out as a PDF file; equal figures give equal bytes."""
    figure.set_layout_engine("none")
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        canvas: Any = FigureCanvasPdf(figure)
        canvas.print_pdf(buffer, metadata={"CreationDate": None})
    return buffer.getvalue()


def legend(figure: Figure, panel: Axes) -> None:
    """Put a legend below the panel, where it covers no line."""
    handles, labels = panel.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    lines = [textwrap.fill(label, 72) for label in labels]
    figure.set_size_inches(width, height + 0.17 * sum(line.count("\n") + 1 for line in lines))
    figure.legend(handles, lines, loc="outside lower left", fontsize=8)
