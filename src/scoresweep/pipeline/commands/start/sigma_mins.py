"""The smallest noise level, which no technique gives: common choices."""

from __future__ import annotations

from scoresweep.pipeline.commands.start.data_facts import DataFacts

__all__ = ["SIGMA_MIN", "SIGMA_MIN_OF_MLP", "sigma_mins", "smallest_sigma", "unit_of_sigma"]

SIGMA_MIN = 0.01
"""Of NCSN and NCSNv2, for pixels in [0, 1]."""

SIGMA_MIN_OF_MLP = 0.1
"""Of config/config.yaml: small images, a multilayer perceptron and minutes of training."""

FACTORS = (0.5, 1, 2, 5, 10)


def unit_of_sigma(is_image: bool, std: float) -> float:
    """Return the scale of the data: 1 for images, for points the leading digit of their `std`."""
    return 1.0 if is_image else float(f"{std:.0e}")


def smallest_sigma(facts: DataFacts, network: str) -> float:
    """Return the smallest noise level of a new study whose networks are of the kind `network`."""
    if facts.is_image and network == "mlp" and facts.sigma_max > 10 * SIGMA_MIN_OF_MLP:
        return SIGMA_MIN_OF_MLP
    return float(f"{SIGMA_MIN * unit_of_sigma(facts.is_image, facts.std):.3g}")


def sigma_mins(unit: float) -> list[float]:
    """Return values to choose from, for data of the scale `unit`, the largest first."""
    return [float(f"{SIGMA_MIN * factor * unit:.3g}") for factor in reversed(FACTORS)]
