"""Resolve a setting for a run: noise levels, step sizes and mask."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Run, Setting, StudyPaths
from scoresweep.pipeline.study.methods.tasks import Inpainting
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.samplers import inpainting_mask
from scoresweep.samplers.float_spacing import float_spacing, last_drift

__all__ = ["ResolvedSampling", "resolve_sampling", "step_sizes_for"]


@dataclass(frozen=True)
class ResolvedSampling:
    """A setting resolved for the noise ladder and the data of a run."""

    sigmas: Tensor
    """Noise levels of the sampler, (L,), descending."""
    step_sizes: Tensor
    """Step size η of each level, (L,); NaN if the sampler has none."""
    mask: Tensor | None
    """In-painting: the known part of a sample."""


def resolve_sampling(
    run: Run, setting: Setting, paths: StudyPaths, network: ScoreNetwork
) -> ResolvedSampling:
    """Return noise levels, step sizes and mask.

    Raises `InputError` if the setting does not fit the run.
    """
    options, store = setting.sample, paths.dataset_store(run.dataset.id)
    if options.noise is None:
        sigmas = network.sigmas.double().cpu()
    else:
        sigmas = resolve_noise_levels(options.noise, functools.partial(training_points, store))
    step_sizes, mask = step_sizes_for(run, setting, sigmas), None
    if len(network.shape) == 1 and not options.sampler.needs_energy:
        _check_rounding(run, setting, paths, sigmas, step_sizes)
    if isinstance(options.task, Inpainting):
        try:
            mask = inpainting_mask(options.task.mask, network.shape)
        except ValueError as error:
            raise InputError(f"sample.task: does not fit run {run.id}: {error}") from None
    return ResolvedSampling(sigmas, step_sizes, mask)


def step_sizes_for(run: Run, setting: Setting, sigmas: Tensor) -> Tensor:
    """Return the step size η of each level of the noise ladder `sigmas`, (L,).

    Raises `InputError` if the sampler's options do not fit that ladder.
    """
    sampler = setting.sample.sampler
    level_step_sizes = sampler.load_step_sizes()
    try:
        step_sizes: Tensor = level_step_sizes(sigmas, **sampler.arguments())
    except ValueError as error:
        raise InputError(
            f"sample.sampler: setting {setting.id} does not fit run {run.id}: {error}"
        ) from None
    return step_sizes


def _check_rounding(
    run: Run, setting: Setting, paths: StudyPaths, sigmas: Tensor, step_sizes: Tensor
) -> None:
    """Raise `InputError` if float32 rounds away the drift of the last level.

    That happens to points far from the origin. Images lie in [0, 1], which allows steps of 1e-8.
    """
    store = paths.dataset_store(run.dataset.id)
    if not store.exists():
        return
    gap, drift = float_spacing(training_points(store)), last_drift(sigmas, step_sizes)
    if drift < gap / 2:
        raise InputError(
            f"sample.sampler: setting {setting.id}: a step at the last level of {run.id} (sigma "
            f"{float(sigmas[-1]):g}) moves samples by about {drift:.2g}, but float32 numbers as "
            f"large as the data of {run.dataset.id} are {gap:.2g} apart, so the drift is rounded "
            f"away and the variance becomes too large. Subtract the mean from the data, or raise "
            f"the step size or sigma_min"
        )
