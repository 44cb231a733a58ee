"""Metrics of generated samples, as labelled variables with intervals and baselines."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from scoresweep.intervals import NORMAL_95, bounded_interval
from scoresweep.metric_names import metric_name, metric_title
from scoresweep.metrics.features import Features, Metric, MetricValue, Options
from scoresweep.metrics.standard_errors import half_sample_errors
from scoresweep.pipeline.evaluation.extractor_weights import load_inception_logits
from scoresweep.pipeline.evaluation.feature_sets import NO_EXTRACTOR, DatasetFacts, FeatureSets
from scoresweep.pipeline.evaluation.metric_cache import CachedMetric, track_reads
from scoresweep.pipeline.evaluation.plugin_metric import PluginMetric
from scoresweep.pipeline.evaluation.real_moments import load_moments
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.study.methods.metrics import MetricFacts
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredMetric
from scoresweep.pipeline.study.real_statistics import statistics_sha256
from scoresweep.seeds import generator_for

__all__ = ["measure_samples"]

MIN_SUBSETS_PER_HALF = 10
"""Minimum number of subsets over which the kernel distance of a random half is averaged."""

Variables = dict[str, xr.Variable]


def measure_samples(
    evaluate: Evaluate,
    sets: Callable[[str], FeatureSets],
    facts: DatasetFacts,
    find: Callable[[str, str, Evaluate], CachedMetric | None] = lambda *_: None,
    keep: Callable[[CachedMetric], None] = lambda _: None,
) -> tuple[xr.Dataset, dict[str, str]]:
    """Return every metric of the samples on every extractor, with intervals and baselines.

    A metric that fails is skipped; the others are still computed.

    Args:
        evaluate: the metrics and their options.
        sets: returns the features of the extractor with a key, or of `NO_EXTRACTOR` for metrics of
            the samples themselves; called only if a metric must be computed.
        facts: what is known about the dataset.
        find: returns a metric computed earlier, given its key and that of the extractor, or None.
        keep: called with every metric.

    Returns:
        The variables, and the reason for each failure by "METRIC on EXTRACTOR".
    """
    variables: Variables = {}
    problems: dict[str, str] = {}
    for metric, key, extractor in _pairs(evaluate):
        result = find(metric.key, key, evaluate)
        if result is None:
            read = set[str]()
            found = _measure_metric(metric, extractor, evaluate, sets(key), facts, read)
            for variable in found[0].values():
                variable.attrs |= _plugin_keys(metric, key, extractor)
            result = CachedMetric.of(metric.key, key, evaluate, read, found)
        where = f"{metric.name} on {extractor or 'samples'}"
        if taken := sorted(variables.keys() & result.variables.keys()):
            problems[where] = f"{', '.join(taken)}: another metric has values of this name"
            continue
        keep(result)
        variables |= result.variables
        if result.problems:
            problems[where] = "; ".join(result.problems)
    return xr.Dataset(variables, _coordinates(variables, facts)), problems


def _pairs(evaluate: Evaluate) -> Iterator[tuple[MetricFacts, str, str]]:
    """Yield each metric with the key and the name of each extractor, or twice `NO_EXTRACTOR`."""
    for metric in evaluate.sample_metrics:
        if metric.on_samples:
            yield metric, NO_EXTRACTOR, NO_EXTRACTOR
        else:
            yield from ((metric, e.key, e.name) for e in evaluate.feature_extractors)


def _plugin_keys(metric: MetricFacts, key: str, extractor: str) -> dict[str, str]:
    """Return the keys of a metric and an extractor of plugins.

    They identify their code and options; `key` is that of the extractor.
    """
    keys = {} if metric.method is None else {"metric_key": metric.key}
    return keys if key == extractor else keys | {"extractor_key": key}


def _coordinates(variables: Variables, facts: DatasetFacts) -> dict[str, Any]:
    dimensions = {name for variable in variables.values() for name in variable.dims}
    coordinates: dict[str, Any] = {}
    if facts.class_names is not None and "class" in dimensions:
        coordinates["class"] = np.array(facts.class_names, dtype=object)
    if facts.mixture is not None and "mode" in dimensions:
        coordinates["mode"] = np.arange(1, len(facts.mixture.means) + 1)
    return coordinates


def _measure_metric(
    metric: MetricFacts,
    extractor: str,
    evaluate: Evaluate,
    sets: FeatureSets,
    facts: DatasetFacts,
    read: set[str],
) -> tuple[Variables, list[str]]:
    """Return the variables of one metric on one extractor, and the reasons for missing ones.

    The names of the options that the metric reads are added to `read`. The baselines are skipped if
    the metric of the generated samples fails.
    """
    untracked = _load(metric, facts)
    function = _tracked(untracked, read)
    common: dict[str, Any] = {"seed": evaluate.seed, "resize": sets.resize}
    if extractor != NO_EXTRACTOR:
        common["extractor"] = extractor
    try:
        options = _options(metric, extractor, evaluate, facts, sets)
        _check_finite(evaluate, extractor, sets.train, sets.generated)
        values = _compute(function, sets.train, sets.generated, options)
    except ValueError as error:
        return {}, [str(error)]
    common |= _statistics_file(metric, evaluate) | _splits(metric, evaluate)
    common["n_generated"] = len(sets.generated)
    variables = _variables(values, extractor, common)
    errors, problems = _standard_errors(function, options, sets, values)
    variables |= _intervals(extractor, values, errors, common)
    for suffix, features, description in (
        ("_real", sets.test, "of real test samples"),
        ("_noise", sets.noise, "of uniform noise"),
    ):
        try:
            _check_finite(evaluate, extractor, sets.train, features)
            baseline = _baseline(metric.key, untracked, options, sets.train, features, read)
        except ValueError as error:
            problems.append(f"{description}: {error}")
            continue
        common["n_generated"] = len(features)
        variables |= _variables(baseline, extractor, common, suffix, f", {description}")
    return variables, problems


def _baseline(
    key: str,
    function: Metric,
    options: Options,
    train: Features,
    features: Features,
    read: set[str],
) -> dict[str, MetricValue]:
    """Return the values of `features`, real ones or noise: computed once for all settings.

    `key` is that of the metric, whose function is `function`. The names of the options that it
    reads are added to `read`.
    """
    options = replace(options, resamplings=0)

    def compute() -> tuple[dict[str, MetricValue], set[str]]:
        known = set[str]()
        values = _compute(_tracked(function, known), train, features, options)
        return {k: v for k, v in values.items() if not v.depends_on_data_only}, known

    # These are of the dataset and the extractor that `features` belong to.
    others = replace(options, mixture=None, shares=None, class_weights=None)
    place = ("baseline", key, others)
    values, known = features.cached(place, compute)
    read |= known
    return values


def _load(metric: MetricFacts, facts: DatasetFacts) -> Metric:
    if isinstance(metric.method, DeclaredMetric):
        return PluginMetric(metric.method, facts.shape)
    function: Metric = pkgutil.resolve_name(metric.target)
    return function


def _tracked(function: Metric, read: set[str]) -> Metric:
    """Return a metric that adds the names of the options that it reads to `read`."""

    def tracked(real: Features, features: Features, options: Options) -> dict[str, MetricValue]:
        return function(real, features, track_reads(options, read))

    return tracked


def _options(
    metric: MetricFacts, extractor: str, evaluate: Evaluate, facts: DatasetFacts, sets: FeatureSets
) -> Options:
    """Return the options of a metric; raise ValueError if a file that it needs cannot be used."""
    moments, file = None, evaluate.real_statistics
    with_logits = {e.name for e in evaluate.feature_extractors if e.gives_logits}
    needs_logits = metric.needs_logits and extractor in with_logits
    if metric.uses_moments and file is not None:
        moments = load_moments(file, sets.generated.values.shape[1])
    return Options(
        neighbours=evaluate.neighbours,
        kid_subsets=evaluate.kid_subsets,
        kid_subset_size=evaluate.kid_subset_size,
        inception_score_splits=evaluate.inception_score_splits,
        resamplings=evaluate.resamplings,
        seed=evaluate.seed,
        mixture=facts.mixture,
        shares=facts.shares,
        real_statistics=moments,
        class_weights=load_inception_logits() if needs_logits else None,
    )


def _statistics_file(metric: MetricFacts, evaluate: Evaluate) -> dict[str, str]:
    """Return attributes that name the file of the real statistics, if the metric uses one."""
    file = evaluate.real_statistics
    if file is None or not metric.uses_moments:
        return {}
    return {"real_statistics": file.name, "real_statistics_sha256": statistics_sha256(file)}


def _splits(metric: MetricFacts, evaluate: Evaluate) -> dict[str, int]:
    """Return the attribute that gives the number of splits, if it is not the default."""
    splits = evaluate.inception_score_splits
    is_default = splits == Options.inception_score_splits
    return {} if is_default or not metric.needs_logits else {"splits": splits}


def _check_finite(evaluate: Evaluate, extractor: str, real: Features, features: Features) -> None:
    """Raise ValueError if a feature is not finite, with the place of a plugin's extractor."""
    for name, part in (("real samples", real), ("samples", features)):
        if part.num_nonfinite:
            own = {e.name: e.method for e in evaluate.feature_extractors if e.method}
            place = f"{own[extractor].origin}: " if extractor in own else ""
            raise ValueError(
                f"{place}the features of {part.num_nonfinite} of {len(part)} {name} are not finite"
            )


def _compute(
    function: Metric, real: Features, features: Features, options: Options
) -> dict[str, MetricValue]:
    """Compute a metric.

    Raises:
        ValueError: if it fails, or a value is not finite.
    """
    values = function(real, features, options)
    for key, value in values.items():
        if not bool(torch.as_tensor(value.value, dtype=torch.float64).isfinite().all()):
            raise ValueError(f"{key} is not finite")
    return values


def _standard_errors(
    function: Metric, options: Options, sets: FeatureSets, values: Mapping[str, MetricValue]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the standard errors of `values`, and the reasons for missing ones.

    If a metric does not return one, it is estimated from random halves of the samples.
    """
    if options.resamplings == 0:
        return {}, []
    wanted = {key: value for key, value in values.items() if not value.depends_on_data_only}
    known = {
        key: torch.as_tensor(value.error, dtype=torch.float64)
        for key, value in wanted.items()
        if value.error is not None
    }
    rest = {key: value for key, value in wanted.items() if key not in known}
    if not rest:
        return known, []
    try:
        return known | _half_sample_errors(function, options, sets, rest), []
    except ValueError as error:
        return known, [f"no interval of {', '.join(rest)} from halves of the samples: {error}"]


def _half_sample_errors(
    function: Metric, options: Options, sets: FeatureSets, values: Mapping[str, MetricValue]
) -> dict[str, Tensor]:
    """Return the standard errors of `values` over random halves of the samples used."""
    used = min(value.n_generated or len(sets.generated) for value in values.values())
    generated = sets.generated.subsample(used, options.seed)
    # All subsets of every half would dominate the cost; enough of them to cover the half suffice.
    cover = len(generated) // 2 // options.kid_subset_size
    subsets = min(options.kid_subsets, max(cover, MIN_SUBSETS_PER_HALF))
    half_options = replace(options, kid_subsets=subsets, resamplings=0)

    def statistics(index: Tensor) -> dict[str, Tensor]:
        half = _compute(function, sets.train, generated[index], half_options)
        return {key: torch.as_tensor(half[key].value, dtype=torch.float64) for key in values}

    generator = generator_for(options.seed, "halves")
    errors = half_sample_errors(statistics, len(generated), options.resamplings, generator)
    return {
        key: errors[key].maximum(torch.as_tensor(value.min_standard_error, dtype=torch.float64))
        for key, value in values.items()
    }


def _intervals(
    extractor: str,
    values: Mapping[str, MetricValue],
    errors: Mapping[str, Tensor],
    common: Mapping[str, Any],
) -> Variables:
    """Return both ends of the 95 % interval of each value that has a standard error."""
    variables: Variables = {}
    for key, error in errors.items():
        value, half_width = values[key], NORMAL_95 * error.numpy()
        ends = bounded_interval(value.value, half_width, value.minimum, value.maximum)
        for end, bound in zip(("low", "high"), ends, strict=True):
            description = f", {end} end of the 95 % interval"
            bounds = {key: replace(value, value=torch.as_tensor(bound))}
            variables |= _variables(bounds, extractor, common, f"_{end}", description)
    return variables


def _variables(
    values: Mapping[str, MetricValue],
    extractor: str,
    common: Mapping[str, Any],
    suffix: str = "",
    description: str = "",
) -> Variables:
    """Return values as variables; `suffix` extends their names, `description` their long names."""
    variables: Variables = {}
    for key, value in values.items():
        name, title = key, value.long_name
        if value.per_extractor:
            name, title = metric_name(key, extractor), metric_title(key, extractor, title)
        if file := common.get("real_statistics"):
            title += f" against the statistics of {file}"
        array = np.asarray(value.value, dtype=np.float64)
        attributes = {**common, **_attributes(value, title + description)}
        dims = (value.dimension,)[: array.ndim]
        variables[name + suffix] = xr.Variable(dims, array, attributes)
    return variables


def _attributes(value: MetricValue, long_name: str) -> dict[str, Any]:
    optional = {
        "n_real": value.n_real,
        "better": value.better,
        "valid_min": value.minimum,
        "valid_max": value.maximum,
        "caveat": value.caveat,
        "note": value.note,
        "n_generated": value.n_generated,
    }
    return {
        "long_name": long_name,
        "units": value.units,
        **{key: content for key, content in optional.items() if content is not None},
    }
