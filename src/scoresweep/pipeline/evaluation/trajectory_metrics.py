"""Metrics of each level of a sampler's trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from scoresweep.metrics.score_error import MeanEstimate
from scoresweep.metrics.signal_to_noise import signal_to_noise
from scoresweep.pipeline.netcdf_attrs import label

__all__ = ["snr_dataset", "trajectory_error_dataset"]


def trajectory_error_dataset(
    estimates: Sequence[MeanEstimate], sigmas: Sequence[float], trajectories: int
) -> xr.Dataset:
    """Return the score error (level,) at the states in which trajectories leave each level."""
    name = "path_score_error_sigma2"
    common = label(name) | {"better": "lower", "paths": trajectories}
    variables = {name: ([e.value for e in estimates], common)}
    for end, values in (("low", [e.low for e in estimates]), ("high", [e.high for e in estimates])):
        long_name = f"{common['long_name']}, {end} end of the 95 % interval"
        variables[f"{name}_{end}"] = values, common | {"long_name": long_name}
    return _level_dataset(variables, sigmas)


def snr_dataset(levels: Mapping[str, np.ndarray[Any, Any]]) -> xr.Dataset:
    """Return the signal-to-noise ratio (level,) of Langevin steps.

    `levels` holds the diagnostics `step_size`, `sigma` and `score_norm` of a sampler, (L,) each.
    """
    steps, sigmas, norms = (
        torch.from_numpy(levels[name]) for name in ("step_size", "sigma", "score_norm")
    )
    values = signal_to_noise(steps, sigmas, norms)
    name = "signal_to_noise"
    return _level_dataset({name: (values.tolist(), label(name))}, sigmas.tolist())


def _level_dataset(
    variables: Mapping[str, tuple[Sequence[float], Mapping[str, Any]]], sigmas: Sequence[float]
) -> xr.Dataset:
    """Return variables (level,), given as values and attributes.

    The noise levels are a coordinate, since no axis of the evaluation grid changes them.
    """
    return xr.Dataset(
        {name: ("level", values, attributes) for name, (values, attributes) in variables.items()},
        {
            "level": ("level", np.arange(1, len(sigmas) + 1), label("level")),
            "sigma": ("level", list(sigmas), label("sigma")),
        },
    )
