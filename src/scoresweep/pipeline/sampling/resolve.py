"""What a setting asks for, on the ladder and the data of a run."""

from __future__ import annotations

import functools
import pkgutil
from dataclasses import dataclass

from torch import Tensor

from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Run, Setting, StudyPaths
from scoresweep.pipeline.study.methods.tasks import Inpainting
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.samplers import inpainting_mask
from scoresweep.samplers.positions import last_move, spacing

__all__ = ["ResolvedSampling", "resolve_sampling", "step_sizes_for"]


@dataclass(frozen=True)
class ResolvedSampling:
    """What the setting's options are on the run's ladder and data."""

    sigmas: Tensor
    """The ladder to walk down, (L,)."""
    steps: Tensor
    """Step size η of each level, (L,); NaN where the sampler has none."""
    mask: Tensor | None
    """In-painting: the part of a sample that is known."""


def resolve_sampling(
    run: Run, setting: Setting, layout: StudyPaths, network: ScoreNetwork
) -> ResolvedSampling:
    """Return ladder, step sizes and mask; raise `InputError` where the options do not fit them."""
    options = setting.sample
    if options.noise is None:
        sigmas = network.sigmas.double()
    else:
        store = layout.dataset_store(run.dataset.id)
        sigmas = resolve_noise_levels(options.noise, functools.partial(training_points, store))
    steps, mask = step_sizes_for(run, setting, sigmas), None
    if len(network.shape) == 1 and not options.sampler.needs_energy:
        _check_positions(run, setting, layout, sigmas, steps)
    if isinstance(options.task, Inpainting):
        try:
            mask = inpainting_mask(options.task.mask, network.shape)
        except ValueError as error:
            raise InputError(f"sample.task: does not fit run {run.id}: {error}") from None
    return ResolvedSampling(sigmas, steps, mask)


def _check_positions(
    run: Run, setting: Setting, layout: StudyPaths, sigmas: Tensor, steps: Tensor
) -> None:
    """Raise `InputError` if float32 rounds the drift of the last level away, so far is the data.

    Images lie in [0, 1], where that takes steps of 1e-8.
    """
    store = layout.dataset_store(run.dataset.id)
    if not store.exists():
        return
    gap, move = spacing(training_points(store)), last_move(sigmas, steps)
    if move < gap / 2:
        raise InputError(
            f"sample.sampler: setting {setting.id}: a step at the last level of {run.id} (sigma "
            f"{float(sigmas[-1]):g}) moves samples by about {move:.2g}, but {run.dataset.id} lies "
            f"where float32 numbers are {gap:.2g} apart: the drift would be rounded away and the "
            f"variance too large. Subtract the mean from the data, or raise the step size or "
            f"sigma_min"
        )


def step_sizes_for(run: Run, setting: Setting, sigmas: Tensor) -> Tensor:
    """Return the step size of each level of the ladder `sigmas`, (L,), for a setting of `run`.

    Raises `InputError` where the sampler's options do not fit that ladder.
    """
    sampler = setting.sample.sampler
    schedule = pkgutil.resolve_name(sampler.schedule)
    try:
        steps: Tensor = schedule(sigmas, **sampler.arguments())
    except ValueError as error:
        raise InputError(
            f"sample.sampler: setting {setting.id} does not fit run {run.id}: {error}"
        ) from None
    return steps
