"""Cross-field checks: options that are valid alone but do not work together."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.data_checks import shape_problems
from scoresweep.pipeline.study.grid import swept_paths
from scoresweep.pipeline.study.methods.datasets import GaussianMixtureData
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS, ranking_measures
from scoresweep.pipeline.study.methods.networks import ENERGY_NETWORKS, NCSNpp, Network, Oracle
from scoresweep.pipeline.study.methods.noise import Explicit
from scoresweep.pipeline.study.methods.objectives import DSM, Weighted
from scoresweep.pipeline.study.methods.sigma_laws import LogUniform
from scoresweep.pipeline.study.methods.tasks import Interpolation
from scoresweep.pipeline.study.published_checks import published_problems
from scoresweep.pipeline.study.real_statistics import read_statistics
from scoresweep.pipeline.study.weights_checks import (
    best_step_problems,
    unknown_measure,
    weights_problems,
)

if TYPE_CHECKING:
    from scoresweep.pipeline.study.methods.noise import NoiseLadder
    from scoresweep.pipeline.study.models import Train
    from scoresweep.pipeline.study.plan import Plan

__all__ = ["check_plan"]


def check_plan(plan: Plan, where: str) -> Plan:
    """Return `plan`; raise `InputError` listing every problem in the study file `where`."""
    checks: Iterable[Callable[[Plan], Iterable[str]]] = (
        _repeated_datasets,
        _training_steps,
        _known_shapes,
        _continuous_levels,
        _dropout,
        _data_stds,
        _level_embeddings,
        _likelihoods,
        _mixture_oracles,
        _samplers,
        _tasks,
        _repeated_methods,
        _class_metrics,
        _real_statistics,
        _dataset_metrics,
        _halving,
        published_problems,
        weights_problems,
        best_step_problems,
    )
    problems = [problem for check in checks for problem in check(plan)]
    if problems:
        raise InputError("\n".join(f"{where}: {problem}" for problem in dict.fromkeys(problems)))
    return plan


def _known_shapes(plan: Plan) -> Iterable[str]:
    return shape_problems(plan, {d.id: d.known_size for d in plan.study.dataset})


def _repeated_datasets(plan: Plan) -> Iterable[str]:
    counts = Counter(dataset.id for dataset in plan.study.dataset)
    for name, count in counts.items():
        if count > 1:
            yield f"dataset: {name} is listed {count} times; expected each dataset once"


def _training_steps(plan: Plan) -> Iterable[str]:
    for train in (run.train for run in plan.runs):
        size, parts = train.batch_size, train.gradient_accumulation
        if size % parts:
            yield (
                f"train.batch_size: {size}: expected a multiple of train.gradient_accumulation, "
                f"{parts}"
            )
        if train.optimizer.warmup > train.steps and train.network.is_trained:
            yield (
                f"train.optimizer.warmup: {train.optimizer.warmup}: is longer than the training; "
                f"expected at most train.steps, {train.steps}"
            )


def _continuous_levels(plan: Plan) -> Iterable[str]:
    """Yield laws of σ that do not fit the network's embedding, or a ladder of one level."""
    for train in (run.train for run in plan.runs):
        if not train.noise_sampling or not train.network.is_trained:
            continue
        if not train.network.continuous_sigma:
            yield (
                f"train.noise_sampling: {train.noise_sampling.name}: draws levels between those of "
                f"the ladder, for which the network {train.network.name!r} has no embedding; "
                f"expected null, or {_network_for_all_levels(train.network)}"
            )
        levels = train.noise.sigmas if isinstance(train.noise, Explicit) else []
        if len(levels) == 1 and isinstance(train.noise_sampling, LogUniform):
            yield (
                f"train.noise_sampling: log_uniform: needs a largest and a smallest noise level, "
                f"found only {levels[0]:g} in train.noise.sigmas; expected null, or more levels"
            )


def _network_for_all_levels(network: Network) -> str:
    """Return the option that has an embedding for all σ, in place of that of `network`."""
    if isinstance(network, NCSNpp):
        return "train.network.embedding: fourier"
    return "another network, such as train.network.name: ncsnv2"


def _dropout(plan: Plan) -> Iterable[str]:
    """Yield runs whose control variate would compare scores with different dropout masks."""
    for train in (run.train for run in plan.runs):
        network, objective = train.network, train.objective
        if not (isinstance(network, NCSNpp) and isinstance(objective, DSM)):
            continue
        if network.dropout and objective.control_variate:
            yield (
                f"train.network.dropout: {network.dropout:g}: noisy and clean samples would have "
                f"different masks, which objective.control_variate: true cannot compare; "
                f"expected dropout: 0.0, or control_variate: false"
            )


def _data_stds(plan: Plan) -> Iterable[str]:
    """Yield runs whose network and weighting assume data of different standard deviations."""
    for train in (run.train for run in plan.runs):
        objective, std = train.objective, train.network.preconditioned_std
        if std is None or not isinstance(objective, Weighted) or objective.weighting != "edm":
            continue
        if std != objective.data_std:
            yield (
                f"train.objective.data_std: {objective.data_std:g}: differs from "
                f"train.network.data_std, {std:g}, but weighting: edm and the network scale the "
                f"same data; expected the same value in both"
            )


def _level_embeddings(plan: Plan) -> Iterable[str]:
    """Yield samplers and ladders that use noise levels a network has no embedding for."""
    by_ladder: dict[tuple[str, bool], Train] = {}
    for train in (run.train for run in plan.runs):
        if not train.network.continuous_sigma:
            key = train.noise.model_dump_json(), train.network.interpolates_levels
            by_ladder[key] = train
    if not by_ladder:
        return
    keys = {"noise", "sampler"}
    samples = {s.sample.model_dump_json(include=keys): s.sample for s in plan.settings}
    for train, sample in itertools.product(by_ladder.values(), samples.values()):
        name, sampler = train.network.name, sample.sampler
        has_levels = _spans if train.network.interpolates_levels else _has_levels
        if sample.noise and not has_levels(train.noise, sample.noise):
            within = ", levels within it" if train.network.interpolates_levels else ""
            yield (
                f"sample.noise: {sample.noise.name}: the network {name!r} has no embedding for "
                f"some levels of this ladder; expected null (the ladder it is trained on){within}, "
                f"or {_network_for_all_levels(train.network)}"
            )
        if sampler.needs_intermediate_levels:
            yield (
                f"sample.sampler: {sampler.name}: needs scores between the levels of the ladder, "
                f"for which the network {name!r} has no embedding; expected "
                f"{sampler.without_intermediate_levels}"
            )


def _likelihoods(plan: Plan) -> Iterable[str]:
    """Yield networks that the probability-flow ODE of `bits_per_dimension` cannot use."""
    if "bits_per_dimension" not in plan.network_metrics():
        return
    for train in (run.train for run in plan.runs):
        if not train.network.continuous_sigma:
            yield (
                f"evaluate.metrics: bits_per_dimension: needs scores between the levels of the "
                f"ladder, for which the network {train.network.name!r} has no embedding; remove "
                f"the metric, or use {_network_for_all_levels(train.network)}"
            )
        if isinstance(train.noise, Explicit) and len(train.noise.sigmas) < 2:
            yield (
                "evaluate.metrics: bits_per_dimension: needs a largest and a smallest noise level, "
                "found a single one in train.noise.sigmas; remove the metric, or add levels"
            )


def _has_levels(trained: NoiseLadder, sampled: NoiseLadder) -> bool:
    """Return whether every level of the ladder `sampled` is one of `trained`."""
    if trained == sampled:
        return True
    known = trained.known_sigmas()
    return all(
        math.isfinite(sigma) and any(math.isclose(sigma, other, rel_tol=1e-6) for other in known)
        for sigma in sampled.known_sigmas()
    )


def _spans(trained: NoiseLadder, sampled: NoiseLadder) -> bool:
    """Return whether every level of the ladder `sampled` is within `trained`."""
    if trained == sampled:
        return True
    known, wanted = trained.known_sigmas(), sampled.known_sigmas()
    margin = 1 + 1e-6
    return (
        math.isfinite(known[0])
        and wanted[0] <= known[0] * margin
        and wanted[-1] >= known[-1] / margin
    )


def _mixture_oracles(plan: Plan) -> Iterable[str]:
    """Yield oracles of a mixture for other data; a user's own data are checked when staged."""
    for run in plan.runs:
        network, dataset = run.train.network, run.dataset
        of_mixture = isinstance(network, Oracle) and network.of == "mixture"
        if of_mixture and dataset.known_size and not isinstance(dataset, GaussianMixtureData):
            yield (
                f"train.network.of: mixture: the dataset {dataset.id} is not drawn from a mixture; "
                f"expected training_set or auto"
            )


def _samplers(plan: Plan) -> Iterable[str]:
    """Yield samplers that do not fit the noise ladders or the networks."""
    ladders = {run.train.noise.model_dump_json(): run.train.noise for run in plan.runs}
    networks = sorted({run.train.network.name for run in plan.runs} - ENERGY_NETWORKS)
    for setting in plan.settings:
        sampler, own_ladder = setting.sample.sampler, setting.sample.noise
        for noise in [own_ladder] if own_ladder else ladders.values():
            for problem in sampler.problems(noise):
                yield f"sample.sampler.{problem}"
        if sampler.needs_energy and networks:
            yield (
                f"sample.sampler: {sampler.name}: needs the log density of the data, which the "
                f"network {networks[0]!r} does not give; expected train.network: {{name: oracle}}"
            )


def _tasks(plan: Plan) -> Iterable[str]:
    for setting in plan.settings:
        task, sampler = setting.sample.task, setting.sample.sampler
        if task is None:
            continue
        if not sampler.supports_tasks:
            yield (
                f"sample.task: {task.name}: the sampler {sampler.name!r} does not support tasks; "
                f"expected sample.sampler.name: annealed_langevin"
            )
        if isinstance(task, Interpolation) and setting.sample.chunk % task.steps:
            yield (
                f"sample.chunk: {setting.sample.chunk}: expected a multiple of sample.task.steps, "
                f"{task.steps}"
            )


def _repeated_methods(plan: Plan) -> Iterable[str]:
    """Yield metrics and extractors of plugins that a list has twice: they have one set of names."""
    for evaluate in plan.evaluate_blocks:
        for key in ("metrics", "extractors"):
            names = Counter(getattr(entry, "name", "") for entry in getattr(evaluate, key))
            for name, count in names.items():
                if name and count > 1:
                    yield (
                        f"evaluate.{key}: {name} is listed {count} times; expected each once. To "
                        f"compare its options, sweep whole lists: evaluate.grid.{key}"
                    )


def _class_metrics(plan: Plan) -> Iterable[str]:
    """Yield metrics without an extractor that gives what they need."""
    facts = EXTRACTORS.values()
    with_classes = [each.name for each in facts if each.gives_classes]
    with_logits = [each.name for each in facts if each.gives_logits]
    for evaluate in plan.evaluate_blocks:
        given = {extractor.name for extractor in evaluate.feature_extractors}
        for metric in evaluate.sample_metrics:
            names = with_classes if metric.needs_classes else with_logits
            if (metric.needs_classes or metric.needs_logits) and not given & {*names}:
                yield (
                    f"evaluate.metrics: {metric.name}: needs class probabilities; expected "
                    f"{' or '.join(names)} in evaluate.extractors"
                )


def _real_statistics(plan: Plan) -> Iterable[str]:
    """Yield files of real statistics that cannot be used, or that no metric uses."""
    for evaluate in plan.evaluate_blocks:
        path = evaluate.real_statistics
        if path is None:
            continue
        where = f"evaluate.real_statistics: {path}:"
        try:
            dimension = len(read_statistics(path).mu)
        except ValueError as error:
            yield f"{where} {error}"
            continue
        if not any(metric.uses_moments for metric in evaluate.sample_metrics):
            names = " or ".join(metric.name for metric in METRICS.values() if metric.uses_moments)
            yield f"{where} no metric uses it; expected {names} in evaluate.metrics, or null"
        for extractor in evaluate.feature_extractors:
            if extractor.num_features not in (None, dimension):
                yield (
                    f"{where} has {dimension:,} features, but evaluate.extractors has "
                    f"{extractor.name} with {extractor.num_features:,}; expected extractors whose "
                    f"features the file describes"
                )


def _dataset_metrics(plan: Plan) -> Iterable[str]:
    metrics = {m.name: m for evaluate in plan.evaluate_blocks for m in evaluate.sample_metrics}
    for metric, dataset in itertools.product(metrics.values(), plan.study.dataset):
        if metric.dataset not in (None, dataset.name):
            yield (
                f"evaluate.metrics: {metric.name}: is defined for the dataset {metric.dataset!r} "
                f"only, found {dataset.name!r}; remove the metric"
            )


def _halving(plan: Plan) -> Iterable[str]:
    """Yield what is wrong with successive halving."""
    halving, count = plan.halving, plan.study.sample.count
    if halving is None:
        return
    if halving.counts[-1] >= count:
        yield (
            f"sample.halving.counts: {halving.counts}: expected numbers below sample.count, {count}"
        )
    if "count" in swept_paths(plan.study.sample):
        yield (
            "sample.grid.count: cannot be swept with sample.halving, which draws each setting at "
            "several counts; remove one of the two"
        )
    if len(plan.evaluations) > 1:
        yield (
            f"evaluate.grid: {len(plan.evaluations)} points, but sample.halving needs one value of "
            f"its measure for each setting; expected an evaluate block without a sweep"
        )
    options = plan.evaluate_blocks[0]
    measures = ranking_measures(options.sample_metrics, options.feature_extractors)
    if halving.measure not in measures:
        yield unknown_measure("sample.halving.measure", halving.measure, measures)
