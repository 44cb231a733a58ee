"""A run of `scoresweep train` that is stopped and resumed, with the program's own files."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from ncsnv2 import QUICK, Case

from gpu_parts.learner import largest_difference
from gpu_parts.part import Part, run_part

STEPS, STOP = 6, 3


class _Stopped(Exception):  # noqa: N818 - it is no error
    pass


def measure(part: Part) -> None:
    """Compare the weights of a run with those of one that was resumed from its checkpoint."""
    part.attempt("resumed run of the program", lambda: _measure(part))


def _measure(part: Part) -> None:
    case = QUICK[0] if part.quick else Case(128, (3, 32, 32), 64)
    with tempfile.TemporaryDirectory() as folder:
        whole = _train(Path(folder) / "whole", case, part, stop=False)
        resumed = _train(Path(folder) / "resumed", case, part, stop=True)
    part.add(
        "resumed run of the program: largest difference of weights and averages",
        figure=largest_difference(whole, resumed),
        target=0.0,
        at_least=False,
        note=f"{STEPS} steps in bf16, stopped after {STOP}",
    )


def _train(folder: Path, case: Case, part: Part, stop: bool) -> list[dict[str, Any]]:
    """Train a run in `folder`, in two starts if `stop`; return its weights and averages."""
    from training_loop import plan_of  # it needs the packages of the program

    folder.mkdir()
    plan = plan_of(folder, case, STEPS, "bf16")
    if stop:
        trainer = _trainer(plan, part)
        update = trainer.training_step.update

        def interrupted(step: int) -> object:
            if step == STOP:
                trainer._save()
                raise _Stopped
            return update(step)

        trainer.training_step.update = interrupted
        with contextlib.suppress(_Stopped):
            trainer.run()
    trainer = _trainer(plan, part)
    trainer.run()
    assert trainer.first_step == (STOP if stop else 0)
    return [trainer.network.state_dict(), trainer.averaged.state_dict()]


def _trainer(plan: Any, part: Part) -> Any:
    from accelerate.state import AcceleratorState

    from scoresweep.pipeline.training.setup import make_trainer

    AcceleratorState._reset_state(reset_partial_state=True)
    return make_trainer(plan.runs[0], plan.paths, int(part.device.type == "cuda"))


if __name__ == "__main__":
    run_part(measure)
