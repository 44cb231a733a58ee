"""From metrics of tensors to labelled variables of a file."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from scoresweep.errors import InputError
from scoresweep.files import whole
from scoresweep.metrics.features import Features, Measure, Metric, Options
from scoresweep.metrics.intervals import NORMAL_95, bounded_interval, half_sample_errors
from scoresweep.metrics.score_error import SCORE_ERROR_NAMES, Estimate
from scoresweep.seeds import generator_for
from scoresweep.study import Evaluate
from scoresweep.study.components import METRICS
from scoresweep.study.grid import Point

__all__ = [
    "FeatureSets",
    "join_evaluations",
    "level_dataset",
    "measure_samples",
    "path_dataset",
    "write_dataset",
]

SUBSETS_OF_A_HALF = 10
"""Fewest subsets over which the kernel distance of one random half is averaged."""

Variables = dict[str, xr.Variable]


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


def measure_samples(
    options: Evaluate, sets: dict[str, FeatureSets], class_names: list[str] | None
) -> xr.Dataset:
    """Return a variable for each measure on each extractor, its interval and its baselines.

    Raises:
        InputError: if a metric cannot be had from these samples and extractors.
    """
    variables: Variables = {}
    for metric in options.metrics:
        if metric == "score_error":
            continue
        found: Variables = {}
        for extractor in options.extractors:
            try:
                found |= _measure(metric, extractor, options, sets[extractor])
            except ValueError as error:
                raise InputError(
                    f"metric {metric} on {extractor}: {error}. Draw more samples (sample.count), "
                    f"or lower evaluate.neighbours or evaluate.resamplings"
                ) from error
        if not found:
            raise InputError(
                f"evaluate.metrics: {metric} needs class probabilities, which none of the "
                f"evaluate.extractors ({', '.join(options.extractors)}) gives. Add classifier"
            )
        variables |= found
    coordinates = {}
    if class_names is not None and any("class" in v.dims for v in variables.values()):
        coordinates["class"] = np.array(class_names, dtype=object)
    return xr.Dataset(variables, coordinates)


def _measure(metric: str, extractor: str, evaluate: Evaluate, sets: FeatureSets) -> Variables:
    """Return the variables of one metric on one extractor."""
    function: Metric = pkgutil.resolve_name(METRICS[metric])
    options = Options(
        neighbours=evaluate.neighbours,
        kid_subsets=evaluate.kid_subsets,
        kid_subset_size=evaluate.kid_subset_size,
        seed=evaluate.seed,
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
            attributes = _attributes(measure, what) | common | {"extractor": extractor}
            value = torch.as_tensor(measure.value).double().numpy()
            variables[name + suffix] = _variable(value, attributes)
            if suffix == "" and errors:
                half = NORMAL_95 * errors[key]
                ends = bounded_interval(value, half, measure.minimum, measure.maximum)
                for end, bound in zip(("low", "high"), ends, strict=True):
                    label = f"{measure.long_name}, {end} end of the 95 % interval"
                    variables[f"{name}_{end}"] = _variable(bound, attributes | {"long_name": label})
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
    }
    return {
        "long_name": measure.long_name + what,
        "units": measure.units,
        "n_real": measure.n_real,
        **{key: value for key, value in given.items() if value is not None},
    }


def _variable(value: npt.NDArray[np.float64], attributes: dict[str, Any]) -> xr.Variable:
    """Return a scalar, or a value for each class."""
    return xr.Variable(("class",)[: value.ndim], value, attributes)


def level_dataset(
    rows: dict[str, list[dict[str, Estimate]]], sigmas: Sequence[float], attributes: dict[str, Any]
) -> xr.Dataset:
    """Return the variables (split, level) of `rows[split][level][name]`, with intervals."""
    content = xr.Dataset(
        {"sigma": ("level", list(sigmas), {"long_name": "noise level", "units": "data"})},
        {"split": np.array(list(rows), dtype=object), "level": np.arange(1, len(sigmas) + 1)},
    )
    better = {"score_cosine": "higher"}
    for name, long_name in SCORE_ERROR_NAMES.items():
        common = attributes | {"units": "1", "better": better.get(name, "lower")}
        if name == "score_error":
            common["units"] = "data^-2"
        for suffix, field, what in (
            ("", "value", ""),
            ("_low", "low", ", low end of the 95 % interval"),
            ("_high", "high", ", high end of the 95 % interval"),
        ):
            values = [[getattr(level[name], field) for level in levels] for levels in rows.values()]
            label = {"long_name": long_name + what}
            content[name + suffix] = (("split", "level"), values, common | label)
    return content


def path_dataset(estimates: Sequence[Estimate], sigmas: Sequence[float], paths: int) -> xr.Dataset:
    """Return the score error (level,) at the states in which a sampler leaves each of its levels.

    The noise levels are a coordinate: no axis of the evaluation grid changes them.
    """
    attributes = {
        "long_name": "half mean squared error of the score at the sampler's states, times σ²",
        "units": "1",
        "better": "lower",
        "paths": paths,
    }
    values = [estimate.value for estimate in estimates]
    about = {"long_name": "noise level of the sampler", "units": "data"}
    return xr.Dataset(
        {"path_score_error_sigma2": ("level", values, attributes)},
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
