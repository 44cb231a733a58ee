"""Choose the training step of a setting: a part of the rule `sweep`."""

from __future__ import annotations

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.results.best_step import chosen_step, find_best_step, step_plan
from scoresweep.pipeline.results.examine import due_rules
from scoresweep.pipeline.results.halving_choice import write_choice
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling.sampling_job import Devices
from scoresweep.pipeline.study import Plan, Run, Setting

__all__ = ["choose_best_step"]


def choose_best_step(
    plan: Plan,
    run: Run,
    setting: Setting,
    devices: Devices,
    real: RealData,
    *,
    this_code: bool = False,
) -> None:
    """Measure a setting at every kept step, as far as that is due, and write the choice.

    Raises `RunError` if no step has a value.
    """
    steps = step_plan(plan, run, setting)
    for each in steps.settings:
        due = due_rules(steps, run.id, each.id, this_code=this_code)
        if "sample" in due:
            sample(steps, run.id, each.id, devices, this_code=this_code)
        if due:
            evaluate(steps, run.id, each.id, min(devices.gpus, 1), real)
    choice = find_best_step(plan, run, setting)
    if choice is None or chosen_step(plan, run, setting, choice) is None:
        raise RunError(
            f"run {run.id}, setting {setting.id}: no training step has a value of "
            f"sample.best_step.measure, so none can be chosen. See the attribute `problems` of "
            f"their metrics; more samples in sample.best_step.count may help"
        )
    write_choice(plan, choice)
