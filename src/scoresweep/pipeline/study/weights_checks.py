"""Check that runs keep the averaged weights that settings use."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from scoresweep.pipeline.errors import join_names
from scoresweep.pipeline.study.grid import swept_paths
from scoresweep.pipeline.study.methods.method_names import explain_name
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS, ranking_measures

if TYPE_CHECKING:
    from scoresweep.pipeline.study.models import Sample, Train
    from scoresweep.pipeline.study.plan import Plan

__all__ = ["best_step_problems", "unknown_measure", "weights_problems"]


def best_step_problems(plan: Plan) -> Iterable[str]:
    """Yield what is wrong with the choice of the best training step."""
    samples = [setting.sample for setting in plan.settings]
    best = [sample.best_step for sample in samples if sample.training_step == "best"]
    if any(each is None for each in best):
        yield (
            "sample.best_step: null: does not say how training_step: best is chosen; expected "
            "{measure: ..., count: ...}"
        )
    if not best and plan.study.sample.best_step:
        yield "sample.best_step: has no effect without training_step: best; expected null"
    if swept := [path for path in swept_paths(plan.study.sample) if path.startswith("best_step")]:
        yield f"sample.grid: {', '.join(swept)}: cannot be swept; expected one sample.best_step"
    if best and plan.halving:
        yield (
            "sample.training_step: best: cannot be combined with sample.halving, which chooses "
            "settings at several counts; remove one of the two"
        )
    if best and len(plan.evaluations) > 1:
        yield (
            f"evaluate.grid: {len(plan.evaluations)} points, but sample.best_step needs one value "
            f"of its measure for each step; expected an evaluate block without a sweep"
        )
    options = plan.evaluate_blocks[0]
    measures = ranking_measures(options.sample_metrics, options.feature_extractors)
    for measure in sorted({each.measure for each in best if each} - measures.keys()):
        yield unknown_measure("sample.best_step.measure", measure, measures)


def unknown_measure(path: str, measure: str, measures: Collection[str]) -> str:
    """Say that `measure`, at `path` of the study, is none of `measures`, which rank settings."""
    every = ranking_measures(METRICS.values(), EXTRACTORS.values())
    text = (
        f"{path}: {measure}: expected a value that ranks settings and that the study measures: "
        f"{', '.join(measures) or 'none'}.{explain_name(measure, measures)}"
    )
    if measure in every:
        return text
    return (
        f"{text} Values without a direction, or that bad samples can score well on (precision, "
        f"recall, density), do not rank settings; the score error does not depend on them."
    )


def weights_problems(plan: Plan) -> Iterable[str]:
    """Yield training steps and decays of settings that a run does not keep, or that say nothing."""
    samples = [*{(s.sample.training_step, s.sample.ema): s.sample for s in plan.settings}.values()]
    if all(sample.training_step is None and sample.ema is None for sample in samples):
        return
    trained = [run for run in plan.runs if run.train.network.is_trained]
    if not trained:
        yield (
            "sample.training_step, sample.ema: have no effect, because no run is trained; expected "
            "null"
        )
    for train in (run.train for run in trained):
        for sample in samples:
            yield from _unkept_step(train, sample, samples)
            yield from _unkept_decay(train, sample)
    samples = [sample for sample in samples if sample.training_step != "best"]
    seen: dict[tuple[str, ...], Sample] = {}
    for sample in samples if trained else ():
        other = seen.setdefault(tuple(run.weights_of(sample) for run in trained), sample)
        if other is not sample:
            yield (
                f"sample.training_step, sample.ema: {_pair(other)} and {_pair(sample)} are the "
                f"same weights in every run; expected them once"
            )


def _unkept_step(train: Train, sample: Sample, samples: Iterable[Sample]) -> Iterable[str]:
    step, kept = sample.training_step, train.kept_steps
    if step == "best" and len(kept) == 1:
        yield (
            f"sample.training_step: best: the run keeps no step but the last, {kept[0]}; expected "
            f"train.keep: {{every: ...}}"
        )
    if step is None or step == "best" or step in kept:
        return
    text = f"sample.training_step: {step}: "
    if step > train.steps:
        yield f"{text}is above train.steps, {train.steps}; expected one of {join_names(kept)}"
        return
    asked = [s.training_step for s in samples if s.training_step != train.steps]
    every = math.gcd(*(step for step in asked if isinstance(step, int)))
    yield (
        f"{text}is not kept during a training of {train.steps} steps; expected one of "
        f"{join_names(kept)}, or train.keep: {{every: {every}}}"
    )


def _unkept_decay(train: Train, sample: Sample) -> Iterable[str]:
    if sample.ema is not None and sample.ema not in train.decays:
        yield (
            f"sample.ema: {sample.ema}: is not a decay of every run; expected one of "
            f"{join_names(train.decays)}, or train.ema: {[*train.decays, sample.ema]}"
        )


def _pair(sample: Sample) -> str:
    values = (sample.training_step, sample.ema)
    return "(" + ", ".join("null" if value is None else str(value) for value in values) + ")"
