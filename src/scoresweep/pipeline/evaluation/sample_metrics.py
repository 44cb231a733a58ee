"""From metrics of tensors to labelled variables of a file."""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics.display_names import metric_name, metric_title
from scoresweep.metrics.features import Features, Metric, MetricValue, Options
from scoresweep.metrics.score_error import MeanEstimate
from scoresweep.metrics.signal_to_noise import signal_to_noise
from scoresweep.metrics.standard_errors import NORMAL_95, bounded_interval, half_sample_errors
from scoresweep.pipeline.evaluation.metric_cache import CachedMetric, track_reads
from scoresweep.pipeline.netcdf_attrs import label
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.methods.metrics import DATASET_METRICS, METRICS
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.seeds import generator_for

__all__ = [
    "NO_EXTRACTOR",
    "DatasetFacts",
    "FeatureSets",
    "compute_cost",
    "join_evaluations",
    "measure_samples",
    "random_subset",
    "snr_dataset",
    "trajectory_error_dataset",
    "write_dataset",
]

SUBSETS_OF_A_HALF = 10
"""Fewest subsets over which the kernel distance of one random half is averaged."""

NO_EXTRACTOR = ""
"""In place of an extractor: the samples themselves."""

Variables = dict[str, xr.Variable]


def random_subset(available: int, count: int, *seed: int | str) -> Tensor:
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
    """Uniform noise, at most as many samples as generated ones."""
    resize: str


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of the data beyond its samples."""

    class_names: list[str] | None = None
    mixture: GaussianMixture | None = None
    """What it was drawn from, where that is a mixture."""
    shares: Tensor | None = None
    """Share of each class (K,) that was asked for, where the data are shapes."""


def measure_samples(
    evaluate: Evaluate,
    sets: Callable[[str], FeatureSets],
    origin: DatasetFacts,
    find: Callable[[str, str, Evaluate], CachedMetric | None] = lambda *_: None,
    keep: Callable[[CachedMetric], None] = lambda _: None,
) -> tuple[xr.Dataset, dict[str, str]]:
    """Return a variable for each measure on each extractor, its interval and its baselines.

    `sets` returns those of an extractor, or of `SAMPLES` for the metrics that look at the samples
    themselves (`DATASET_METRICS`). It is called only for what has to be computed.

    What cannot be had is left out and takes nothing else along: the second value says why, by
    "metric on extractor".

    `find` returns a metric that was computed before, `keep` is called with each one.
    """
    variables: Variables = {}
    problems: dict[str, str] = {}
    for metric in evaluate.metrics:
        if metric == "score_error":
            continue
        for extractor in [NO_EXTRACTOR] if metric in DATASET_METRICS else evaluate.extractors:
            part = find(metric, extractor, evaluate)
            if part is None:
                read = set[str]()
                found = _measure_metric(metric, extractor, evaluate, sets(extractor), origin, read)
                part = CachedMetric.of(metric, extractor, evaluate, read, found)
            keep(part)
            variables |= part.variables
            if part.problems:
                problems[f"{metric} on {extractor or 'samples'}"] = "; ".join(part.problems)
    coordinates = {}
    names = origin.class_names
    if names is not None and any("class" in v.dims for v in variables.values()):
        coordinates["class"] = np.array(names, dtype=object)
    if origin.mixture is not None and any("mode" in v.dims for v in variables.values()):
        coordinates["mode"] = np.arange(1, len(origin.mixture.means) + 1)
    return xr.Dataset(variables, coordinates), problems


def _measure_metric(
    metric: str,
    extractor: str,
    evaluate: Evaluate,
    sets: FeatureSets,
    origin: DatasetFacts,
    read: set[str],
) -> tuple[Variables, list[str]]:
    """Return the variables of one metric on one extractor, and why any of them is left out.

    The names of the options that the metric reads are added to `read`. Without a value of the
    generated samples there are no baselines either.
    """
    method: Metric = pkgutil.resolve_name(METRICS[metric])

    def function(real: Features, features: Features, options: Options) -> dict[str, MetricValue]:
        return method(real, features, track_reads(options, read))

    options = Options(
        neighbours=evaluate.neighbours,
        kid_subsets=evaluate.kid_subsets,
        kid_subset_size=evaluate.kid_subset_size,
        resamplings=evaluate.resamplings,
        seed=evaluate.seed,
        mixture=origin.mixture,
        shares=origin.shares,
    )
    variables: Variables = {}
    problems: list[str] = []
    for suffix, features, what in (
        ("", sets.generated, ""),
        ("_real", sets.test, ", of real test samples"),
        ("_noise", sets.noise, ", of uniform noise"),
    ):
        asked = replace(options, resamplings=0) if suffix else options
        try:
            measures = _values(function, sets.train, features, asked)
        except ValueError as error:
            problems.append(f"{what[2:]}: {error}" if what else str(error))
            if not suffix:
                break
            continue
        common = {"n_generated": len(features), "seed": options.seed, "resize": sets.resize}
        if extractor != NO_EXTRACTOR:
            common["extractor"] = extractor
        for key, measure in measures.items():
            if not (measure.depends_on_data_only and suffix):
                name, about = _label(key, extractor, measure, what)
                variables[name + suffix] = _variable(measure, measure.value, common | about)
        if not suffix:
            errors, missed = _standard_errors(function, options, sets, measures)
            variables |= _intervals(extractor, measures, errors, common)
            problems += missed
    return variables, problems


def _values(
    function: Metric, real: Features, features: Features, options: Options
) -> dict[str, MetricValue]:
    """Return the measures of one set; raises ValueError where features or values are not finite."""
    for name, part in (("real samples", real), ("samples", features)):
        if part.num_nonfinite:
            raise ValueError(
                f"the features of {part.num_nonfinite} of {len(part)} {name} are not finite"
            )
    measures = function(real, features, options)
    for key, measure in measures.items():
        if not bool(torch.as_tensor(measure.value, dtype=torch.float64).isfinite().all()):
            raise ValueError(f"{key} is not finite")
    return measures


def _intervals(
    extractor: str,
    measures: Mapping[str, MetricValue],
    errors: Mapping[str, Tensor],
    common: Mapping[str, Any],
) -> Variables:
    """Return both ends of the 95 % interval of each measure that has a standard error."""
    variables: Variables = {}
    for key, error in errors.items():
        measure, half = measures[key], NORMAL_95 * error.numpy()
        ends = bounded_interval(measure.value, half, measure.minimum, measure.maximum)
        for end, bound in zip(("low", "high"), ends, strict=True):
            what = f", {end} end of the 95 % interval"
            name, about = _label(key, extractor, measure, what)
            variables[f"{name}_{end}"] = _variable(measure, bound, {**common, **about})
    return variables


def _standard_errors(
    function: Metric, options: Options, sets: FeatureSets, measures: Mapping[str, MetricValue]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the standard errors of `measures` of all generated samples, and why any is left out.

    Where a metric does not know one, it is that over random halves of the samples that it used.
    """
    if options.resamplings == 0:
        return {}, []
    wanted = {key: measure for key, measure in measures.items() if not measure.depends_on_data_only}
    known = {
        key: torch.as_tensor(measure.error, dtype=torch.float64)
        for key, measure in wanted.items()
        if measure.error is not None
    }
    rest = [key for key in wanted if key not in known]
    if not rest:
        return known, []
    used = [wanted[key].n_generated or len(sets.generated) for key in rest]
    generated = sets.generated.subsample(min(used), options.seed)
    # All subsets of every half would take longer than everything else; one cover of it does.
    cover = len(generated) // 2 // options.kid_subset_size
    subsets = min(options.kid_subsets, max(cover, SUBSETS_OF_A_HALF))
    asked = replace(options, kid_subsets=subsets, resamplings=0)

    def statistics(index: Tensor) -> dict[str, Tensor]:
        found = _values(function, sets.train, generated[index], asked)
        return {key: torch.as_tensor(found[key].value, dtype=torch.float64) for key in rest}

    generator = generator_for(options.seed, "halves")
    try:
        halves = half_sample_errors(statistics, len(generated), options.resamplings, generator)
    except ValueError as error:
        return known, [f"no interval of {', '.join(rest)} from halves of the samples: {error}"]
    least = {
        key: torch.as_tensor(wanted[key].min_standard_error, dtype=torch.float64) for key in rest
    }
    return known | {key: halves[key].maximum(least[key]) for key in rest}, []


def _variable(measure: MetricValue, value: Any, attributes: dict[str, Any]) -> xr.Variable:
    """Return one number, or one along what the measure has for each class or mode."""
    array = np.asarray(value, dtype=np.float64)
    return xr.Variable((measure.dimension,)[: array.ndim], array, attributes)


def _label(key: str, extractor: str, measure: MetricValue, what: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a measure's variable and what a table says about it."""
    name, title = key, measure.long_name
    if measure.per_extractor:
        name, title = metric_name(key, extractor), metric_title(key, extractor, title)
    return name, _attributes(measure, title + what)


def _attributes(measure: MetricValue, long_name: str) -> dict[str, Any]:
    given = {
        "better": measure.better,
        "valid_min": measure.minimum,
        "valid_max": measure.maximum,
        "caveat": measure.caveat,
        "note": measure.note,
        "n_generated": measure.n_generated,
    }
    return {
        "long_name": long_name,
        "units": measure.units,
        "n_real": measure.n_real,
        **{key: value for key, value in given.items() if value is not None},
    }


def trajectory_error_dataset(
    estimates: Sequence[MeanEstimate], sigmas: Sequence[float], paths: int
) -> xr.Dataset:
    """Return the score error (level,) at the states in which a sampler leaves its levels."""
    name = "path_score_error_sigma2"
    common = label(name) | {"better": "lower", "paths": paths}
    variables = {name: ([e.value for e in estimates], common)}
    for end, values in (("low", [e.low for e in estimates]), ("high", [e.high for e in estimates])):
        what = f"{common['long_name']}, {end} end of the 95 % interval"
        variables[f"{name}_{end}"] = values, common | {"long_name": what}
    return _along_levels(variables, sigmas)


def snr_dataset(levels: Mapping[str, np.ndarray[Any, Any]]) -> xr.Dataset:
    """Return the signal-to-noise ratio (level,) of a sampler's Langevin steps.

    `levels` are its diagnostics `step_size`, `sigma` and `score_norm`, (L,) each.
    """
    steps, sigmas, norms = (
        torch.from_numpy(levels[name]) for name in ("step_size", "sigma", "score_norm")
    )
    values = signal_to_noise(steps, sigmas, norms)
    name = "signal_to_noise"
    return _along_levels({name: (values.tolist(), label(name))}, sigmas.tolist())


def _along_levels(
    variables: Mapping[str, tuple[Sequence[float], Mapping[str, Any]]], sigmas: Sequence[float]
) -> xr.Dataset:
    """Return variables (level,), values and attributes each, at the levels that a sampler visits.

    The noise levels are a coordinate: no axis of the evaluation grid changes them.
    """
    return xr.Dataset(
        {name: ("level", values, attributes) for name, (values, attributes) in variables.items()},
        {
            "level": ("level", np.arange(1, len(sigmas) + 1), label("level")),
            "sigma": ("level", list(sigmas), label("sigma")),
        },
    )


def join_evaluations(parts: Sequence[tuple[xr.Dataset, Point]]) -> xr.Dataset:
    """Put the points of the evaluation grid into one dataset, with a dimension for each axis."""
    labelled = [
        content.expand_dims({name: [value] for name, value in axes.items()})
        for content, axes in parts
    ]
    return xr.merge(labelled, join="outer", compat="no_conflicts")


def compute_cost(started: float, device: torch.device) -> dict[str, float | int | str]:
    """Return the seconds since `started` (of `time.monotonic`), and which devices were at work."""
    on_gpu = device.type == "cuda"
    return {
        "seconds": time.monotonic() - started,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "devices": 1 if on_gpu else torch.get_num_threads(),
    }


def write_dataset(content: xr.Dataset, path: Path) -> None:
    """Write a NetCDF file, whole or not at all."""
    with atomic_write(path) as temporary:
        content.to_netcdf(temporary, engine="h5netcdf")
