"""Means and intervals, rounded for print."""

from __future__ import annotations

import math
from typing import NamedTuple

from scoresweep.pipeline.report.paper_table.layout import Cell

__all__ = ["Rounded", "rounded"]

DIGITS = 3
"""Significant digits of a mean; more if its interval is shorter than the last of them."""

MAX_DIGITS = 6


class Rounded(NamedTuple):
    """A mean and the distances to the ends of its interval, as text, times 10^exponent."""

    mean: str
    above: str
    """"" without an interval."""
    below: str
    exponent: int


def rounded(cell: Cell) -> Rounded:
    """Round a mean to three digits, and its interval to the same place."""
    size = abs(cell.mean)
    place = math.floor(math.log10(size)) if size else 0
    exponent = place if size and not 1e-3 <= size < 1e6 else 0
    above, below = cell.high - cell.mean, cell.mean - cell.low
    has_interval = cell.low < cell.high and math.isfinite(above + below)
    decimals = DIGITS - 1 - place
    if has_interval:
        first = -math.floor(math.log10(max(above, below)))
        decimals = min(max(decimals, first), MAX_DIGITS - 1 - place)
    decimals = max(0, decimals + exponent)

    def text(value: float) -> str:
        return f"{value / 10.0**exponent:.{decimals}f}"

    ends = (text(above), text(below)) if has_interval else ("", "")
    return Rounded(text(cell.mean), *ends, exponent)
