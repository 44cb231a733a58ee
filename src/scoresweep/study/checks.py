"""Mistakes that no single field shows, found before anything runs."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scoresweep.errors import InputError
from scoresweep.study.components.datasets import GaussianMixtureData, Size
from scoresweep.study.components.metrics import (
    CLASS_EXTRACTORS,
    CLASS_METRICS,
    DATASET_METRICS,
    IMAGE_EXTRACTORS,
)
from scoresweep.study.components.networks import ENERGY_NETWORKS, Oracle, UNet
from scoresweep.study.components.tasks import Interpolation
from scoresweep.study.known_ladder import known_sigmas
from scoresweep.study.known_size import known_size, known_training_count

if TYPE_CHECKING:
    from scoresweep.study.base import Component
    from scoresweep.study.plan import Plan
    from scoresweep.study.schema import Train

__all__ = ["check_plan"]


def check_plan(plan: Plan, where: str) -> Plan:
    """Return `plan`; raise `InputError` naming what cannot work together in the file `where`."""
    checks: Iterable[Callable[[Plan], Iterable[str]]] = (
        _datasets,
        _batches,
        _warmups,
        _sizes,
        _objectives,
        _networks,
        _oracles,
        _samplers,
        _tasks,
        _extractors,
        _class_metrics,
        _dataset_metrics,
    )
    mistakes = [mistake for check in checks for mistake in check(plan)]
    if mistakes:
        raise InputError("\n".join(f"{where}: {mistake}" for mistake in dict.fromkeys(mistakes)))
    return plan


def _known_sizes(plan: Plan) -> dict[str, Size | None]:
    """Return shape and number of the samples of each dataset, by its id."""
    return {dataset.id: known_size(plan.layout, dataset) for dataset in plan.study.dataset}


def _datasets(plan: Plan) -> Iterable[str]:
    counts = Counter(dataset.id for dataset in plan.study.dataset)
    for name, count in counts.items():
        if count > 1:
            yield f"dataset: {name} stands {count} times; expected each dataset once"


def _batches(plan: Plan) -> Iterable[str]:
    counts = {d.id: known_training_count(plan.layout, d) for d in plan.study.dataset}
    for run in plan.runs:
        size, parts = run.train.batch_size, run.train.gradient_accumulation
        if size % parts:
            yield (
                f"train.batch_size: {size}: expected a multiple of gradient_accumulation, {parts}"
            )
    for run in plan.runs:
        count = counts[run.dataset.id]
        if run.train.network.is_trained and count is not None and run.train.batch_size > count:
            yield (
                f"train.batch_size: {run.train.batch_size}: the dataset {run.dataset.id} has only "
                f"{count:,} training samples; expected that many or fewer"
            )


def _warmups(plan: Plan) -> Iterable[str]:
    for run in plan.runs:
        warmup, steps = run.train.optimizer.warmup, run.train.steps
        if warmup > steps and run.train.network.is_trained:
            yield (
                f"train.optimizer.warmup: {warmup}: the learning rate would still rise when "
                f"training ends; expected at most train.steps, {steps}"
            )


def _sizes(plan: Plan) -> Iterable[str]:
    """Images too small for the stages of a network."""
    known = _known_sizes(plan)
    for run in plan.runs:
        network, size = run.train.network, known[run.dataset.id]
        sides = size[0][1:] if size is not None else (getattr(run.dataset, "size", None),)
        side = min((side for side in sides if side is not None), default=None)
        if side is not None and side < network.smallest_side:
            few = " or fewer multipliers" if isinstance(network, UNet) else ""
            yield (
                f"train.network: {network.name}: halves images of {side} pixels a side to less "
                f"than one; expected {network.smallest_side} pixels or more{few}, found "
                f"{run.dataset.id}"
            )


def _objectives(plan: Plan) -> Iterable[str]:
    """What an objective cannot do with data whose shape is known before they are staged."""
    known = _known_sizes(plan)
    for run in plan.runs:
        size = known[run.dataset.id]
        if size is not None:
            yield from run.train.objective.mistakes(math.prod(size[0]))


def _networks(plan: Plan) -> Iterable[str]:
    """What a network cannot do: points, or noise levels that it is not trained on."""
    bound: dict[str, Train] = {}
    known = _known_sizes(plan)
    for run in plan.runs:
        network, size = run.train.network, known[run.dataset.id]
        has_points = size is not None and len(size[0]) != 3
        if network.needs_images and has_points:
            yield (
                f"train.network: {network.name}: needs images, and {run.dataset.id} has points; "
                f"expected mlp"
            )
        if run.train.flip and has_points:
            yield f"train.flip: true: mirrors images, and {run.dataset.id} has points"
        if not network.any_sigma:
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
        if sampler.between_levels:
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


def _has_levels(trained: Component, walked: Component) -> bool:
    """Tell whether every level of the ladder `walked` is one of `trained`."""
    if trained == walked:
        return True
    own, asked = known_sigmas(trained), known_sigmas(walked)
    if own is None or asked is None:
        return False
    return all(any(math.isclose(a, o, rel_tol=1e-6) for o in own) for a in asked)


def _samplers(plan: Plan) -> Iterable[str]:
    """What a sampler's options do not fit: the ladders it walks down, the networks, its task."""
    ladders = {run.train.noise.model_dump_json(): run.train.noise for run in plan.runs}
    networks = sorted({run.train.network.name for run in plan.runs} - ENERGY_NETWORKS)
    for setting in plan.settings:
        sampler, own = setting.sample.sampler, setting.sample.noise
        for noise in [own] if own else ladders.values():
            for mistake in sampler.mistakes(noise):
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
        if not sampler.takes_tasks:
            yield (
                f"sample.task: {task.name}: cannot be done by the sampler {sampler.name!r}; "
                f"expected annealed_langevin"
            )
        if isinstance(task, Interpolation) and setting.sample.chunk % task.steps:
            yield (
                f"sample.chunk: {setting.sample.chunk}: expected a multiple of the "
                f"{task.steps} steps of a row (sample.task.steps)"
            )


def _extractors(plan: Plan) -> Iterable[str]:
    """What an extractor cannot look at: points."""
    known = _known_sizes(plan)
    points = [name for name, size in known.items() if size is not None and len(size[0]) != 3]
    needy = sorted(IMAGE_EXTRACTORS.intersection(plan.extractors))
    for dataset, name in itertools.product(points, needy):
        yield (
            f"evaluate.extractors: {name}: needs images, and {dataset} has points; expected "
            f"[pixels], the points as they are"
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
