"""From the `noise` block of a study to noise levels on a dataset."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from scoresweep.data.shards import open_loader
from scoresweep.errors import InputError
from scoresweep.noise import build_ladder
from scoresweep.seeds import generator_for
from scoresweep.study.base import Component

__all__ = ["resolve_ladder"]

MOST_POINTS = 60_001
"""Of more, `noise.max_distance` compares a random part anyway."""


def resolve_ladder(component: Component, store: Path) -> Tensor:
    """Return σ_1 > … > σ_L, float64, shape (L,), for the training samples of a staged dataset.

    Raises `InputError` where what is measured on the data does not make a ladder (a largest
    distance below sigma_min, say).
    """
    options = component.arguments()
    loader = open_loader(store, "train", MOST_POINTS, seed=0)
    points = loader.batch(0, 0, min(len(loader), MOST_POINTS)).flatten(1)
    try:
        return build_ladder(component.load(), options, points, generator_for("max_distance"))
    except ValueError as error:
        raise InputError(f"noise: {options}: does not fit this dataset: {error}") from None
