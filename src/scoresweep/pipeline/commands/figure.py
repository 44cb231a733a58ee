"""Command `figure`: draw numbers of a report as a figure for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.paper_figure import paper_charts
from scoresweep.pipeline.report.plots.paper_style import FORMATS, draw_charts, save_figure
from scoresweep.pipeline.report.saved_summary import read_summary
from scoresweep.pipeline.system.console import say

__all__ = ["figure"]

WIDTHS = {"column": 3.25, "page": 6.75}
"""Inches."""


def figure(
    report: Path,
    x: str,
    lines: Sequence[str],
    output: Path,
    metrics: Sequence[str] = (),
    at: Sequence[str] = (),
    width: str = "column",
) -> None:
    """Write a figure of `report`, with a panel for each metric; see `paper_charts`.

    Raises `InputError` for a wrong suffix, width, axis, value or metric.
    """
    suffix = output.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise InputError(f"--output {output}: expected a name that ends in .pdf, .svg or .png")
    inches = _inches(width)
    charts = paper_charts(read_summary(report), x, lines, metrics, at)
    save_figure(draw_charts(charts, inches), output, suffix)
    say(f"{output}: written, {inches:g} inches wide")


def _inches(width: str) -> float:
    try:
        inches = WIDTHS[width] if width in WIDTHS else float(width)
    except ValueError:
        inches = 0.0
    if not 1 <= inches <= 20:
        raise InputError(
            f"--width {width}: expected {', '.join(WIDTHS)}, or a number of inches from 1 to 20"
        )
    return inches
