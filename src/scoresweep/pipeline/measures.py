"""From metrics of tensors to labelled variables of a file."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.errors import InputError
from scoresweep.files import whole
from scoresweep.metrics.features import Features, Measure, Metric, Options
from scoresweep.metrics.intervals import NORMAL_95, bounded_interval, half_sample_errors
from scoresweep.metrics.score_error import Estimate
from scoresweep.metrics.signal_to_noise import signal_to_noise
from scoresweep.seeds import generator_for
from scoresweep.study import Evaluate
from scoresweep.study.components.metrics import DATASET_METRICS, METRICS
from scoresweep.study.grid import Point

__all__ = [
    "SAMPLES",
    "FeatureSets",
    "Origin",
    "choose",
    "join_evaluations",
    "measure_samples",
    "path_dataset",
    "signal_dataset",
    "write_dataset",
]

SUBSETS_OF_A_HALF = 10
"""Fewest subsets over which the kernel distance of one random half is averaged."""

SAMPLES = ""
"""In place of an extractor: the samples themselves."""

Variables = dict[str, xr.Variable]


def choose(available: int, count: int, *seed: int | str) -> Tensor:
    """Return the indices of `count` samples, or of all where there are fewer."""
    return torch.randperm(available, generator=generator_for(*seed))[:count]


@dataclass(frozen=True)
class FeatureSets:
    """Features, from one extractor, of the samples that are compared."""

    train: Features
    """The real training samples: what everything else is compared with."""
    generated: Features
    test: Features
    """Real test samples, at most as many as generated ones."""
    noise: Features
    """Uniform noise, as many samples as generated ones."""
    resize: str


@dataclass(frozen=True)
class Origin:
    """What is known of the data beyond its samples."""

    class_names: list[str] | None = None
    mixture: GaussianMixture | None = None
    """What it was drawn from, where that is a mixture."""
    shares: Tensor | None = None
    """Share of each class (K,) that was asked for, where the data are shapes."""


def measure_samples(
    evaluate: Evaluate, sets: Mapping[str, FeatureSets], origin: Origin
) -> xr.Dataset:
    """Return a variable for each measure on each extractor, its interval and its baselines.

    `sets` are those of the extractors, and of `SAMPLES` for the metrics that look at the samples
    themselves (`DATASET_METRICS`).

    Raises:
        InputError: if a metric cannot be had from these samples and extractors.
    """
    variables: Variables = {}
    for metric in evaluate.metrics:
        if metric == "score_error":
            continue
        found: Variables = {}
        for extractor in [SAMPLES] if metric in DATASET_METRICS else evaluate.extractors:
            try:
                found |= _measure(metric, extractor, evaluate, sets[extractor], origin)
            except ValueError as error:
                raise InputError(
                    f"metric {metric} on {extractor or 'samples'}: {error}. Draw more samples "
                    f"(sample.count), or lower evaluate.neighbours or evaluate.resamplings"
                ) from error
        if not found:
            raise InputError(
                f"evaluate.metrics: {metric} needs class probabilities, which none of the "
                f"evaluate.extractors ({', '.join(evaluate.extractors)}) gives. Add classifier"
            )
        variables |= found
    coordinates = {}
    names = origin.class_names
    if names is not None and any("class" in v.dims for v in variables.values()):
        coordinates["class"] = np.array(names, dtype=object)
    if origin.mixture is not None and any("mode" in v.dims for v in variables.values()):
        coordinates["mode"] = np.arange(1, len(origin.mixture.means) + 1)
    return xr.Dataset(variables, coordinates)


def _measure(
    metric: str, extractor: str, evaluate: Evaluate, sets: FeatureSets, origin: Origin
) -> Variables:
    """Return the variables of one metric on one extractor."""
    function: Metric = pkgutil.resolve_name(METRICS[metric])
    options = Options(
        neighbours=evaluate.neighbours,
        kid_subsets=evaluate.kid_subsets,
        kid_subset_size=evaluate.kid_subset_size,
        seed=evaluate.seed,
        mixture=origin.mixture,
        shares=origin.shares,
    )
    errors = _standard_errors(function, options, evaluate.resamplings, sets)
    variables: Variables = {}
    for suffix, features, what in (
        ("", sets.generated, ""),
        ("_real", sets.test, ", of real test samples"),
        ("_noise", sets.noise, ", of uniform noise"),
    ):
        common = {"n_generated": len(features), "seed": options.seed, "resize": sets.resize}
        for key, measure in function(sets.train, features, options).items():
            name = f"{key}_{extractor}" if measure.per_extractor else key
            if measure.given and suffix:
                continue
            attributes = common | _attributes(measure, what)
            if extractor != SAMPLES:
                attributes["extractor"] = extractor
            value = torch.as_tensor(measure.value).double().numpy()
            dims = (measure.dimension,)[: value.ndim]
            variables[name + suffix] = xr.Variable(dims, value, attributes)
            if suffix == "" and errors and not measure.given:
                half = NORMAL_95 * errors[key]
                ends = bounded_interval(value, half, measure.minimum, measure.maximum)
                for end, bound in zip(("low", "high"), ends, strict=True):
                    label = f"{measure.long_name}, {end} end of the 95 % interval"
                    about = attributes | {"long_name": label}
                    variables[f"{name}_{end}"] = xr.Variable(dims, bound, about)
    return variables


def _standard_errors(
    function: Metric, options: Options, resamplings: int, sets: FeatureSets
) -> dict[str, Tensor]:
    """Return the standard error of each measure over random halves of the generated samples."""
    if resamplings == 0:
        return {}
    # All subsets of every half would take longer than everything else; one cover of it does.
    cover = len(sets.generated) // 2 // options.kid_subset_size
    subsets = min(options.kid_subsets, max(cover, SUBSETS_OF_A_HALF))
    options = replace(options, kid_subsets=subsets)

    def statistics(index: Tensor) -> dict[str, Tensor]:
        measures = function(sets.train, sets.generated[index], options)
        return {key: torch.as_tensor(m.value).double() for key, m in measures.items()}

    generator = generator_for(options.seed, "halves")
    return half_sample_errors(statistics, len(sets.generated), resamplings, generator)


def _attributes(measure: Measure, what: str) -> dict[str, Any]:
    given = {
        "better": measure.better,
        "valid_min": measure.minimum,
        "valid_max": measure.maximum,
        "caveat": measure.caveat,
        "note": measure.note,
        "n_generated": measure.n_generated,
    }
    return {
        "long_name": measure.long_name + what,
        "units": measure.units,
        "n_real": measure.n_real,
        **{key: value for key, value in given.items() if value is not None},
    }


def path_dataset(estimates: Sequence[Estimate], sigmas: Sequence[float], paths: int) -> xr.Dataset:
    """Return the score error (level,) at the states in which a sampler leaves its levels."""
    attributes = {
        "long_name": "half mean squared error of the score at the sampler's states, times σ²",
        "units": "1",
        "better": "lower",
        "paths": paths,
    }
    values = [estimate.value for estimate in estimates]
    return _along_levels("path_score_error_sigma2", values, sigmas, attributes)


def signal_dataset(levels: Mapping[str, np.ndarray[Any, Any]]) -> xr.Dataset:
    """Return the signal-to-noise ratio (level,) of a sampler's Langevin steps.

    `levels` are its diagnostics `step_size`, `sigma` and `score_norm`, (L,) each.
    """
    steps, sigmas, norms = (
        torch.from_numpy(levels[name]) for name in ("step_size", "sigma", "score_norm")
    )
    values = signal_to_noise(steps, sigmas, norms)
    attributes = {"long_name": "signal-to-noise ratio of a step, √(η/2) |s| / √D", "units": "1"}
    return _along_levels("signal_to_noise", values.tolist(), sigmas.tolist(), attributes)


def _along_levels(
    name: str, values: Sequence[float], sigmas: Sequence[float], attributes: Mapping[str, Any]
) -> xr.Dataset:
    """Return one variable (level,) at the levels that a sampler visits.

    The noise levels are a coordinate: no axis of the evaluation grid changes them.
    """
    about = {"long_name": "noise level of the sampler", "units": "data"}
    return xr.Dataset(
        {name: ("level", list(values), dict(attributes))},
        {"level": np.arange(1, len(sigmas) + 1), "sigma": ("level", list(sigmas), about)},
    )


def join_evaluations(parts: Sequence[tuple[xr.Dataset, Point]]) -> xr.Dataset:
    """Put the points of the evaluation grid into one dataset, with a dimension for each axis."""
    labelled = [
        content.expand_dims({name: [value] for name, value in axes.items()})
        for content, axes in parts
    ]
    return xr.merge(labelled, join="outer", compat="no_conflicts")


def write_dataset(content: xr.Dataset, path: Path) -> None:
    """Write a NetCDF file, whole or not at all."""
    with whole(path) as temporary:
        content.to_netcdf(temporary, engine="h5netcdf")
