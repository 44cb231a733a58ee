"""From the `noise` block of a study to noise levels on a dataset."""

from __future__ import annotations

from torch import Tensor

from scoresweep.errors import InputError
from scoresweep.noise import build_ladder
from scoresweep.seeds import generator_for
from scoresweep.study.base import Component

__all__ = ["resolve_ladder"]


def resolve_ladder(component: Component, points: Tensor) -> Tensor:
    """Return σ_1 > … > σ_L, float64, shape (L,), for training samples `points`, shape (N, ...).

    Raises `InputError` where what is measured on the data does not make a ladder (a largest
    distance below sigma_min, say).
    """
    options = component.arguments()
    try:
        return build_ladder(
            component.load(), options, points.flatten(1), generator_for("max_distance")
        )
    except ValueError as error:
        raise InputError(f"noise: {options}: does not fit this dataset: {error}") from None
