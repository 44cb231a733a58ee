"""Distances that are zero or more, of which rounding may leave a little less."""

from __future__ import annotations

__all__ = ["at_least_zero"]


def at_least_zero(value: float, rounding: float) -> float:
    """Return `value`, or 0 if it is negative by `rounding` or less; NaN remains.

    Raises:
        ValueError: if it is negative by more: then no rounding explains it, and it is wrong.
    """
    if value < -rounding:
        raise ValueError(f"a distance of {value:g} is wrong: rounding explains {-rounding:.2g}")
    return 0.0 if value < 0 else value
