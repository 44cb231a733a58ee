"""The smallest noise level, which no technique gives: common choices."""

from __future__ import annotations

__all__ = ["SIGMA_MIN", "sigma_mins", "unit_of_sigma"]

SIGMA_MIN = 0.01
"""Of NCSN and NCSNv2, for pixels in [0, 1]."""

FACTORS = (0.5, 1, 2, 5, 10)


def unit_of_sigma(is_image: bool, std: float) -> float:
    """Return the scale of the data: 1 for images, for points the leading digit of their `std`."""
    return 1.0 if is_image else float(f"{std:.0e}")


def sigma_mins(unit: float) -> list[float]:
    """Return values to choose from, for data of the scale `unit`, the largest first."""
    return [float(f"{SIGMA_MIN * factor * unit:.3g}") for factor in reversed(FACTORS)]
