"""Training in the process of the test, without start-up time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.training.training_step import TrainingStep

__all__ = ["crash_at", "train_run"]

ONE_CORE = Resources()


def train_run(plan: Plan, resources: Resources = ONE_CORE) -> Path:
    """Train the first run of `plan`, as if in a process of its own; return its folder."""
    AcceleratorState._reset_state(reset_partial_state=True)  # the precision of an earlier run
    train_here(plan.runs[0], plan.paths, resources)
    return plan.paths.run(plan.runs[0].id)


def crash_at(plan: Plan, step: int, resources: Resources = ONE_CORE) -> Path:
    """Train up to `step` and crash there; return the folder of checkpoints."""
    update = TrainingStep.update

    def crash(self: TrainingStep, number: int) -> Any:
        return update(self, number) if number < step else 1 / 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "update", crash)
        with pytest.raises(ZeroDivisionError):
            train_run(plan, resources)
    return plan.paths.checkpoints(plan.runs[0].id)
