"""Mistakes that no single field shows, found before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scoresweep.errors import InputError
from scoresweep.study.base import Component
from scoresweep.study.components import CLASS_EXTRACTORS, CLASS_METRICS

if TYPE_CHECKING:
    from scoresweep.study.plan import Plan

__all__ = ["check_plan"]


def check_plan(plan: Plan, where: str) -> Plan:
    """Return `plan`; raise `InputError` naming what cannot work together in the file `where`."""
    checks: Iterable[Callable[[Plan], Iterable[str]]] = (
        _datasets,
        _batches,
        _step_sizes,
        _class_metrics,
    )
    mistakes = [mistake for check in checks for mistake in check(plan)]
    if mistakes:
        raise InputError("\n".join(f"{where}: {mistake}" for mistake in dict.fromkeys(mistakes)))
    return plan


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


def _step_sizes(plan: Plan) -> Iterable[str]:
    """A step beyond 2σ_L² makes annealed Langevin diverge (see `samplers.step_rules`)."""
    ends = {_smallest(run.train.noise) for run in plan.runs}
    for setting in plan.settings:
        sampler, own = setting.sample.sampler, setting.sample.noise
        if sampler.step_size == "auto":
            if sampler.step_rule != "variance":
                yield (
                    f"sample.sampler.step_size: 'auto': is for the step rule 'variance'; expected "
                    f"a number with {sampler.step_rule!r}"
                )
            continue
        if sampler.step_rule != "variance":
            continue
        for sigma in [_smallest(own)] if own else sorted(ends):
            if sampler.step_size >= 2 * sigma**2:
                yield (
                    f"sample.sampler.step_size: {sampler.step_size:g}: diverges on the ladder that "
                    f"ends at {sigma:g}; with the step rule 'variance', expected less than "
                    f"2 sigma_min^2 = {2 * sigma**2:g}"
                )


def _smallest(noise: Component) -> float:
    """Return σ_L."""
    sigmas = getattr(noise, "sigmas", None)
    return float(sigmas[-1] if sigmas else noise.sigma_min)  # type: ignore[attr-defined]


def _class_metrics(plan: Plan) -> Iterable[str]:
    for evaluation in plan.evaluations:
        options = evaluation.evaluate
        needy = CLASS_METRICS.intersection(options.metrics)
        if needy and not CLASS_EXTRACTORS.intersection(options.extractors):
            yield (
                f"evaluate.metrics: {', '.join(sorted(needy))}: needs class probabilities; "
                f"expected one of {', '.join(sorted(CLASS_EXTRACTORS))} among evaluate.extractors"
            )
