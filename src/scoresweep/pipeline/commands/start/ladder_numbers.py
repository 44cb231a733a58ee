"""The numbers of a noise ladder and its sampler by the rules of NCSNv2.

Song and Ermon 2020, "Improved techniques for training score-based generative models",
https://arxiv.org/abs/2006.09011.
"""

from __future__ import annotations

from dataclasses import dataclass

from scoresweep.noise import geometric, levels_by_technique_2, step_size_by_technique_4
from scoresweep.pipeline.commands.estimate.levels import ladder_levels
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.noise import Geometric
from scoresweep.sampler_limits import consistent_step_size_limits, step_size_limit

__all__ = [
    "FEW_LEVELS",
    "SMALLEST_DIMENSION",
    "LadderNumbers",
    "ladder_numbers",
    "measured_sigma_max",
]

SMALLEST_DIMENSION = 5
"""Dimension from which Technique 2 has a solution."""

FEW_LEVELS = 10
"""Number of levels for data of a smaller dimension; that of NCSN (Song and Ermon 2019)."""


@dataclass(frozen=True)
class LadderNumbers:
    """A geometric ladder, and step sizes ε of annealed Langevin dynamics on it."""

    sigma_max: float
    """Technique 1: the largest distance of two training samples, in units of the data."""
    sigma_min: float
    levels: int
    """Technique 2, or fewer if a maximum was given; `FEW_LEVELS` below `SMALLEST_DIMENSION`."""
    steps_per_level: int
    step_size: float
    """Technique 4."""
    step_size_limit: float
    """Samples diverge from this step size."""
    consistent_step_size: float | None
    """A step size of consistent sampling at the same cost: twice the smallest possible one, as in
    config/studies/fashion_mnist.yaml. None if there are too few levels for it."""


def ladder_numbers(
    sigma_max: float,
    sigma_min: float,
    dimension: int,
    steps_per_level: int,
    max_levels: int | None = None,
) -> LadderNumbers:
    """Return the numbers for data of `dimension` dimensions between two noise levels.

    `max_levels` limits the levels that Technique 2 gives.
    """
    levels = FEW_LEVELS
    if dimension >= SMALLEST_DIMENSION:
        levels = levels_by_technique_2(sigma_max, sigma_min, dimension)
    levels = min(levels, max_levels or levels)
    sigmas = geometric(sigma_max, sigma_min, levels)
    step_size = step_size_by_technique_4(sigmas, steps_per_level)
    limit = step_size_limit(sigmas.tolist(), "variance")
    smallest, largest = consistent_step_size_limits(sigmas.tolist(), steps_per_level)
    return LadderNumbers(
        sigma_max=sigma_max,
        sigma_min=sigma_min,
        levels=levels,
        steps_per_level=steps_per_level,
        step_size=step_size,
        step_size_limit=limit,
        consistent_step_size=2 * smallest if 2 * smallest < largest else None,
    )


def measured_sigma_max(plan: Plan, dataset: Dataset) -> float:
    """Return Technique 1's σ_1 of a staged dataset: what `max_distance` is.

    Raises:
        InputError: if all training samples are equal.
    """
    noise = Geometric(name="geometric", sigma_max="max_distance", sigma_min=1e-12, levels=2)
    try:
        levels = ladder_levels(plan, noise, dataset)
    except InputError:
        raise InputError(
            f"{plan.paths.dataset_store(dataset.id)}: all training samples are equal; expected "
            f"different ones, since noise levels follow from their distances. Correct the data."
        ) from None
    assert levels is not None  # the data are staged
    return levels[0]
