"""Rounding of distances that must not be negative."""

from __future__ import annotations

__all__ = ["at_least_zero"]


def at_least_zero(value: float, rounding: float) -> float:
    """Return `value`, or 0 if it is between −`rounding` and 0; NaN stays NaN.

    Raises:
        ValueError: if it is below −`rounding`, which means that it is wrong.
    """
    if value < -rounding:
        raise ValueError(
            f"distance {value:g}: expected 0 or more, or {-rounding:.2g} with rounding errors"
        )
    return 0.0 if value < 0 else value
