"""How the report writes numbers, intervals and the values of axes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "format_axes",
    "format_interval",
    "format_number",
    "format_repeats",
    "format_value",
    "humanize",
    "missing_repeats",
]


def missing_repeats(row: Mapping[Any, Any] | pd.Series[Any], max_repeats: tuple[int, int]) -> str:
    """Return "1 of 2 networks" if a row has fewer repeats than others have; "" if not."""
    for name, count in zip(("networks", "samplings"), max_repeats, strict=True):
        if row[name] < count:
            return f"{row[name]:.0f} of {count} {name}"
    return ""


def format_repeats(networks: float, samplings: float) -> str:
    """Format the number of networks, and of samplings of all of them, behind a mean."""
    first = "one network" if networks == 1 else f"{networks:.0f} networks"
    if networks and samplings % networks == 0 and networks > 1:
        each = samplings / networks
        return f"{first} × {each:.0f} samplings" if each > 1 else f"{first}, one sampling each"
    return f"{first}, {'one sampling' if samplings == 1 else f'{samplings:.0f} samplings'}"


def format_interval(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """Format the interval of a row of a summary: "0.188 to 6.35"; "" if there is none.

    Repeats that agree to the last digit, such as shares of 0, have none.
    """
    if not row["low"] < row["high"]:
        return ""
    return f"{format_number(row['low'])} to {format_number(row['high'])}"


def format_number(value: Any) -> str:
    """Format a value with three significant digits: "0.213", "2e-5", "1,500"; "–" for NaN."""
    if not isinstance(value, Real):
        return str(value)
    x = float(value)
    if not math.isfinite(x):
        return "–"
    if x < 0:
        return f"−{format_number(-x)}"
    if x.is_integer() and x < 1e6:
        return f"{x:,.0f}"
    if 999.5 <= x < 1e6:
        return f"{x:,.0f}"
    if 1e-3 <= x < 1e3:
        return f"{x:#.3g}".rstrip(".")
    return _short_exponent(f"{x:.3g}")


def format_axes(values: Mapping[str, Any]) -> str:
    """Format the values of axes: "levels 10, step size 2e-5"."""
    return ", ".join(f"{humanize(axis)} {format_value(value)}" for axis, value in values.items())


def format_value(value: Any) -> str:
    """Format the value of an axis as short as in the study."""
    if isinstance(value, bool):
        return str(value).lower()
    return _short_exponent(f"{value:g}") if isinstance(value, float) else str(value)


def humanize(name: str) -> str:
    """Replace the underscores of a name with spaces."""
    return name.replace("_", " ")


def _short_exponent(text: str) -> str:
    """Return "2e-5" for "2e-05"."""
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if letter else text
