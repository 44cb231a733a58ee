"""The levels of a noise ladder, before anything is trained."""

from __future__ import annotations

import contextlib
import math

from scoresweep import __version__
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.dataset_size import dataset_size
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.noise import Explicit, NoiseLadder
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredLadder
from scoresweep.pipeline.system.atomic_files import read_json, sha256_of, write_json

__all__ = ["ladder_levels", "num_levels", "sample_shape"]


def sample_shape(plan: Plan, dataset: Dataset) -> tuple[int, ...] | None:
    """Return the shape of a sample; None if only staging can tell."""
    size = dataset_size(plan.paths, dataset)
    return size[0] if size else None


def num_levels(plan: Plan, noise: NoiseLadder, dataset: Dataset) -> int | None:
    """Return the number of levels of a ladder; None if it depends on data that is not staged."""
    if isinstance(noise, Explicit):
        return len(noise.sigmas)
    levels = getattr(noise, "levels", None)
    if isinstance(levels, int) and not isinstance(noise, DeclaredLadder):
        return levels
    sigmas = ladder_levels(plan, noise, dataset)
    return None if sigmas is None else len(sigmas)


def ladder_levels(plan: Plan, noise: NoiseLadder, dataset: Dataset) -> list[float] | None:
    """Return σ_1 … σ_L; None if they depend on data that is not staged.

    Measuring the data can take minutes, so levels that follow from it are cached beside it.

    Raises:
        InputError: if the ladder does not fit the data.
    """
    known = noise.known_sigmas()
    if all(map(math.isfinite, known)):
        return known
    if plan.paths.dataset_manifest(dataset.id).exists():
        return _levels_on_data(plan, noise, dataset)
    shape = sample_shape(plan, dataset)
    depends_on_values = isinstance(getattr(noise, "sigma_max", None), str)
    if shape is None or depends_on_values or isinstance(noise, DeclaredLadder):
        return None
    import torch

    from scoresweep.pipeline.training.noise_levels import resolve_noise_levels

    # Only the dimension matters.
    levels: list[float] = resolve_noise_levels(noise, lambda: torch.zeros(2, *shape)).tolist()
    return levels


def _levels_on_data(plan: Plan, noise: NoiseLadder, dataset: Dataset) -> list[float]:
    """Return the levels on staged data, from the cache if it has them."""
    cache, key = plan.paths.dataset_ladders(dataset.id), noise.model_dump_json()
    made_from = f"{sha256_of(plan.paths.dataset_manifest(dataset.id))} {__version__}"
    content = read_json(cache)
    ladders = content["ladders"] if content.get("made_from") == made_from else {}
    if key in ladders and not isinstance(noise, DeclaredLadder):
        return list(ladders[key])
    from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points

    store = plan.paths.dataset_store(dataset.id)
    levels: list[float] = resolve_noise_levels(noise, lambda: training_points(store)).tolist()
    content = {"made_from": made_from, "ladders": ladders | {key: levels}}
    with contextlib.suppress(OSError, RunError):  # such as a read-only folder
        write_json(cache, content, durable=False)
    return levels
