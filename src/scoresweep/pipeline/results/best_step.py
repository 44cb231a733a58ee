"""Which training step `training_step: best` means for a setting of a run.

The setting is applied to the weights of every kept step, with few samples and other random numbers,
and measured. The choice is that of successive halving that keeps one setting, in the same file.
"""

from __future__ import annotations

from dataclasses import replace

from scoresweep.pipeline.results.halving_choice import Choice, Measured, find_choice
from scoresweep.pipeline.results.states import (
    metrics_state,
    network_state,
    recorded_dataset,
    samples_state,
)
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.ids import make_id, store_hash
from scoresweep.pipeline.study.models import Halving

__all__ = [
    "best_group",
    "chosen_step",
    "find_best_step",
    "has_best_step",
    "step_plan",
    "weights_of",
]

STEP = "training_step"


def has_best_step(run: Run, setting: Setting) -> bool:
    """Return whether the weights of a setting of a run have to be chosen."""
    return setting.sample.training_step == "best" and run.train.network.is_trained


def step_plan(plan: Plan, run: Run, setting: Setting) -> Plan:
    """Return a plan whose settings are those that are compared, one for each kept step."""
    best, seed = setting.sample.best_step, setting.sample.seed
    assert best is not None
    changes = {
        "count": best.count,
        "best_step": None,
        "trajectories": 0,
        "seed": int(content_hash("best step", run.train.seed if seed is None else seed), 16),
    }
    settings = []
    for step in run.train.kept_steps:
        sample, axes = setting.sample.model_copy(update=changes | {STEP: step}), {STEP: step}
        id_, store = (make_id(axes, each) for each in (content_hash(sample), store_hash(sample)))
        settings.append(Setting(id_, sample, axes, store))
    return replace(plan, runs=[run], settings=settings)


def best_group(run: Run, setting: Setting) -> str:
    """Return the name of the folder of a choice, among those of successive halving."""
    return f"{run.id}.{setting.store}"


def find_best_step(plan: Plan, run: Run, setting: Setting) -> Choice | None:
    """Return the choice of the training step; None while a step has to be measured."""
    steps, data = step_plan(plan, run, setting), recorded_dataset(plan.paths, run.dataset.id)
    options, measured = plan.evaluate_hash(), []
    for each in steps.settings:
        network = network_state(plan.paths, run.id, data, run.weights_of(each.sample))
        samples = samples_state(plan.paths, run.id, each, network, data)
        metrics = metrics_state(steps, run.id, each.id, samples, data, options=options)
        if any(result.state != "done" for result in (network, samples, metrics)):
            return None
        measured.append(Measured(run, each, metrics.sha256))
    best = setting.sample.best_step
    assert best is not None
    halving = Halving(measure=best.measure, counts=[best.count], keep=1e-9)  # one of any number
    block = plan.study.sample.model_copy(update={"halving": halving})
    study = plan.study.model_copy(update={"sample": block})
    counts = best.count, setting.sample.count
    return find_choice(replace(steps, study=study), best_group(run, setting), measured, counts)


def chosen_step(plan: Plan, run: Run, setting: Setting, choice: Choice) -> int | None:
    """Return the training step that was chosen; None if no step has a value."""
    for each in step_plan(plan, run, setting).settings:
        if choice.is_kept(run.id, each) and isinstance(each.sample.training_step, int):
            return each.sample.training_step
    return None


def weights_of(plan: Plan, run: Run, setting: Setting, choice: Choice | None = None) -> str | None:
    """Return the name of the weights that a setting uses; None while the step is not chosen.

    `choice` is that of the step, if known.
    """
    if not has_best_step(run, setting):
        return run.weights_of(setting.sample)
    choice = choice or find_best_step(plan, run, setting)
    step = chosen_step(plan, run, setting, choice) if choice else None
    if step is None:
        return None
    return run.weights_of(setting.sample.model_copy(update={STEP: step}))
