"""Mistakes that no single field shows, found before anything runs."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import GaussianMixtureData
from scoresweep.pipeline.study.methods.metrics import (
    CLASS_EXTRACTORS,
    CLASS_METRICS,
    DATASET_METRICS,
)
from scoresweep.pipeline.study.methods.networks import ENERGY_NETWORKS, Oracle
from scoresweep.pipeline.study.methods.tasks import Interpolation
from scoresweep.pipeline.study.size_checks import shape_mistakes

if TYPE_CHECKING:
    from scoresweep.pipeline.study.methods.noise import NoiseLadder
    from scoresweep.pipeline.study.plan import Plan
    from scoresweep.pipeline.study.schema import Train

__all__ = ["check_plan"]


def check_plan(plan: Plan, where: str) -> Plan:
    """Return `plan`; raise `InputError` naming what cannot work together in the file `where`."""
    checks: Iterable[Callable[[Plan], Iterable[str]]] = (
        _datasets,
        _batches,
        _warmups,
        _shapes,
        _networks,
        _oracles,
        _samplers,
        _tasks,
        _class_metrics,
        _dataset_metrics,
    )
    mistakes = [mistake for check in checks for mistake in check(plan)]
    if mistakes:
        raise InputError("\n".join(f"{where}: {mistake}" for mistake in dict.fromkeys(mistakes)))
    return plan


def _shapes(plan: Plan) -> Iterable[str]:
    return shape_mistakes(plan, {d.id: d.known_size for d in plan.study.dataset})


def _datasets(plan: Plan) -> Iterable[str]:
    counts = Counter(dataset.id for dataset in plan.study.dataset)
    for name, count in counts.items():
        if count > 1:
            yield f"dataset: {name} stands {count} times; expected each dataset once"


def _batches(plan: Plan) -> Iterable[str]:
    for run in plan.runs:
        size, parts = run.train.batch_size, run.train.gradient_accumulation
        if size % parts:
            yield (
                f"train.batch_size: {size}: expected a multiple of gradient_accumulation, {parts}"
            )


def _warmups(plan: Plan) -> Iterable[str]:
    for run in plan.runs:
        warmup, steps = run.train.optimizer.warmup, run.train.steps
        if warmup > steps and run.train.network.is_trained:
            yield (
                f"train.optimizer.warmup: {warmup}: the learning rate would still rise when "
                f"training ends; expected at most train.steps, {steps}"
            )


def _networks(plan: Plan) -> Iterable[str]:
    """What a network cannot do: noise levels that it is not trained on."""
    bound: dict[str, Train] = {}
    for run in plan.runs:
        network = run.train.network
        if not network.continuous_sigma:
            bound[run.train.noise.model_dump_json()] = run.train
    if not bound:
        return
    keys = {"noise", "sampler"}
    samples = {s.sample.model_dump_json(include=keys): s.sample for s in plan.settings}
    for train, sample in itertools.product(bound.values(), samples.values()):
        name, sampler = train.network.name, sample.sampler
        if sample.noise and not _has_levels(train.noise, sample.noise):
            yield (
                f"sample.noise: {sample.noise.name}: the embedding of the network {name!r} has "
                f"fewer levels than this ladder asks for; expected null, which takes those that it "
                f"is trained on, or train.network.name: ncsnv2"
            )
        if sampler.needs_intermediate_levels:
            yield (
                f"sample.sampler: {sampler.name}: asks for scores between the levels of the "
                f"ladder, for which the network {name!r} has no embedding; expected "
                f"steps_per_level: 1"
            )


def _oracles(plan: Plan) -> Iterable[str]:
    """What has no exact score; of people's own data only staging can tell."""
    for run in plan.runs:
        network, dataset = run.train.network, run.dataset
        of_mixture = isinstance(network, Oracle) and network.of == "mixture"
        if of_mixture and dataset.known_size and not isinstance(dataset, GaussianMixtureData):
            yield (
                f"train.network.of: mixture: the dataset {dataset.id} is not drawn from a mixture; "
                f"expected training_set or auto"
            )


def _has_levels(trained: NoiseLadder, walked: NoiseLadder) -> bool:
    """Tell whether every level of the ladder `walked` is one of `trained`."""
    if trained == walked:
        return True
    known = trained.known_sigmas()
    return all(
        math.isfinite(sigma) and any(math.isclose(sigma, other, rel_tol=1e-6) for other in known)
        for sigma in walked.known_sigmas()
    )


def _samplers(plan: Plan) -> Iterable[str]:
    """What a sampler's options do not fit: the ladders it walks down, the networks, its task."""
    ladders = {run.train.noise.model_dump_json(): run.train.noise for run in plan.runs}
    networks = sorted({run.train.network.name for run in plan.runs} - ENERGY_NETWORKS)
    for setting in plan.settings:
        sampler, own = setting.sample.sampler, setting.sample.noise
        for noise in [own] if own else ladders.values():
            for mistake in sampler.problems(noise):
                yield f"sample.sampler.{mistake}"
        if sampler.needs_energy and networks:
            yield (
                f"sample.sampler: {sampler.name}: needs the energy of the data, which the network "
                f"{networks[0]!r} does not have; expected train.network: {{name: oracle}}"
            )


def _tasks(plan: Plan) -> Iterable[str]:
    for setting in plan.settings:
        task, sampler = setting.sample.task, setting.sample.sampler
        if task is None:
            continue
        if not sampler.supports_tasks:
            yield (
                f"sample.task: {task.name}: cannot be done by the sampler {sampler.name!r}; "
                f"expected annealed_langevin"
            )
        if isinstance(task, Interpolation) and setting.sample.chunk % task.steps:
            yield (
                f"sample.chunk: {setting.sample.chunk}: expected a multiple of the "
                f"{task.steps} steps of a row (sample.task.steps)"
            )


def _class_metrics(plan: Plan) -> Iterable[str]:
    for evaluation in plan.evaluations:
        options = evaluation.evaluate
        needy = CLASS_METRICS.intersection(options.metrics)
        if needy and not CLASS_EXTRACTORS.intersection(options.extractors):
            yield (
                f"evaluate.metrics: {', '.join(sorted(needy))}: needs class probabilities; "
                f"expected one of {', '.join(sorted(CLASS_EXTRACTORS))} among evaluate.extractors"
            )


def _dataset_metrics(plan: Plan) -> Iterable[str]:
    metrics = {metric for e in plan.evaluations for metric in e.evaluate.metrics}
    for metric in sorted(metrics & DATASET_METRICS.keys()):
        for dataset in plan.study.dataset:
            if dataset.name != DATASET_METRICS[metric]:
                yield (
                    f"evaluate.metrics: {metric}: can only be measured on the dataset "
                    f"{DATASET_METRICS[metric]!r}, found {dataset.name!r}; leave it out"
                )
