"""Resolve the `noise` block of a study to noise levels for a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scoresweep.noise import build_ladder
from scoresweep.pipeline.data.shard_loader import random_samples
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredLadder
from scoresweep.seeds import generator_for

__all__ = ["resolve_noise_levels", "training_points"]

MAX_POINTS = 60_001
"""`noise.max_distance` subsamples larger sets anyway."""


def training_points(store: Path) -> Tensor:
    """Return the training samples of a staged dataset, at most `MAX_POINTS`, shape (N, ...)."""
    return random_samples(store, "train", MAX_POINTS)


def resolve_noise_levels(component: MethodConfig, points: Callable[[], Tensor]) -> Tensor:
    """Return σ_1 > … > σ_L, float64, shape (L,).

    `points` returns training samples (N, ...); it is called only if the ladder depends on them.
    Raises `InputError` if the ladder does not fit the data (a maximum distance below sigma_min,
    for example).
    """
    if isinstance(component, DeclaredLadder):
        given = {"points": points().flatten(1)} if component.depends_on_data else {}
        return torch.tensor(component.levels_for(**given), dtype=torch.float64)
    options, generator = component.arguments(), generator_for("max_distance")
    depends_on_data = isinstance(options.get("sigma_max"), str) or options.get("levels") == "auto"
    flat = points().flatten(1) if depends_on_data else torch.empty(0, 0)
    try:
        return build_ladder(component.load(), options, flat, generator)
    except ValueError as error:
        raise InputError(f"noise: {component}: does not fit this dataset: {error}") from None
