"""From the `noise` block of a study to noise levels on a dataset."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from scoresweep.data.shards import open_loader
from scoresweep.errors import InputError
from scoresweep.noise import build_ladder
from scoresweep.seeds import generator_for
from scoresweep.study.base import Component

__all__ = ["resolve_ladder", "training_points"]

MOST_POINTS = 60_001
"""Of more, `noise.max_distance` compares a random part anyway."""


def training_points(store: Path) -> Tensor:
    """Return the training samples of a staged dataset, at most `MOST_POINTS`, shape (N, ...)."""
    loader = open_loader(store, "train", MOST_POINTS, seed=0)
    return loader.batch(0, 0, min(len(loader), MOST_POINTS))


def resolve_ladder(component: Component, points: Tensor) -> Tensor:
    """Return σ_1 > … > σ_L, float64, shape (L,), for training samples `points`, shape (N, ...).

    Raises `InputError` where what is measured on the data does not make a ladder (a largest
    distance below sigma_min, say).
    """
    options = component.arguments()
    generator = generator_for("max_distance")
    try:
        return build_ladder(component.load(), options, points.flatten(1), generator)
    except ValueError as error:
        raise InputError(f"noise: {component}: does not fit this dataset: {error}") from None
