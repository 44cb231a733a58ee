"""The chosen training steps of a study, and the values that they were chosen by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from scoresweep.pipeline.report.tables.axes import Grid
from scoresweep.pipeline.results import Choice
from scoresweep.pipeline.results.best_step import chosen_step
from scoresweep.pipeline.study import Plan

__all__ = ["BEST_STEP", "BEST_VALUE", "best_steps_dataset"]

BEST_STEP = "chosen_training_step"
"""Variable with the step that `training_step: best` means."""

BEST_VALUE = "chosen_step_value"
"""Variable with the value of few samples that it was chosen by."""


def best_steps_dataset(
    plan: Plan, runs: Grid, settings: Grid, choices: Mapping[tuple[str, str], Choice]
) -> xr.Dataset:
    """Return the chosen steps, and the values of few samples that they were chosen by.

    The value on fresh samples is that of the setting. Empty without choices.
    """
    shape = runs.shape | settings.shape
    steps, values = (np.full(tuple(shape.values()), np.nan) for _ in range(2))
    for run, row in zip(plan.runs, runs.positions, strict=True):
        for setting, column in zip(plan.settings, settings.positions, strict=True):
            choice = choices.get((run.id, setting.id))
            step = chosen_step(plan, run, setting, choice) if choice else None
            if choice and step is not None:
                steps[row + column], values[row + column] = step, choice.configurations[0].value
    if np.isnan(steps).all():
        return xr.Dataset()
    dims = tuple(shape)
    measures = sorted({f"{c.measure} of {c.count} samples" for c in choices.values()})
    about = {"note": ", ".join(measures)}
    return xr.Dataset({BEST_STEP: (dims, steps), BEST_VALUE: (dims, values, about)})
