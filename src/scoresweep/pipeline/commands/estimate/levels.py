"""Number of noise levels of a ladder, before anything is trained."""

from __future__ import annotations

from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.dataset_size import dataset_size
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.noise import Explicit
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredLadder

__all__ = ["num_levels", "sample_shape"]


def sample_shape(plan: Plan, dataset: Dataset) -> tuple[int, ...] | None:
    """Return the shape of a sample; None if only staging can tell."""
    size = dataset_size(plan.paths, dataset)
    return size[0] if size else None


def num_levels(plan: Plan, noise: MethodConfig, dataset: Dataset) -> int | None:
    """Return the number of levels of a ladder; None if it depends on data that is not staged."""
    if isinstance(noise, Explicit):
        return len(noise.sigmas)
    if isinstance(noise, DeclaredLadder) and not noise.depends_on_data:
        return len(noise.known_sigmas())
    levels = getattr(noise, "levels", None)
    return levels if isinstance(levels, int) else _num_levels_from_data(plan, noise, dataset)


def _num_levels_from_data(plan: Plan, noise: MethodConfig, dataset: Dataset) -> int | None:
    import torch

    from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points

    shape = sample_shape(plan, dataset)
    if shape is None:
        return None
    if plan.paths.dataset_manifest(dataset.id).exists():
        points = training_points(plan.paths.dataset_store(dataset.id))
    elif isinstance(getattr(noise, "sigma_max", None), str) or isinstance(noise, DeclaredLadder):
        return None
    else:
        points = torch.zeros(2, *shape)  # only the dimension matters
    return len(resolve_noise_levels(noise, lambda: points))
