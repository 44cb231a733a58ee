"""From the `noise` block of a study to noise levels on a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scoresweep.noise import build_ladder
from scoresweep.pipeline.data.shard_loader import random_samples
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.seeds import generator_for

__all__ = ["resolve_noise_levels", "training_points"]

MOST_POINTS = 60_001
"""Of more, `noise.max_distance` compares a random part anyway."""


def training_points(store: Path) -> Tensor:
    """Return the training samples of a staged dataset, at most `MOST_POINTS`, shape (N, ...)."""
    return random_samples(store, "train", MOST_POINTS)


def resolve_noise_levels(component: MethodConfig, points: Callable[[], Tensor]) -> Tensor:
    """Return σ_1 > … > σ_L, float64, shape (L,).

    `points` returns training samples, shape (N, ...); it is called where the ladder depends on
    them. Raises `InputError` where what is measured on the data does not make a ladder (a largest
    distance below sigma_min, say).
    """
    options, generator = component.arguments(), generator_for("max_distance")
    depends = isinstance(options.get("sigma_max"), str) or options.get("levels") == "auto"
    flat = points().flatten(1) if depends else torch.empty(0, 0)
    try:
        return build_ladder(component.load(), options, flat, generator)
    except ValueError as error:
        raise InputError(f"noise: {component}: does not fit this dataset: {error}") from None
