"""Rule `sweep`: draw and measure a batch of settings of one run, and its score error.

What they have in common (network, real samples and their features, extractors) is loaded once. A
task that fails does not stop the others; running the same batch again computes what is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import traceback
from dataclasses import dataclass
from functools import cached_property

from scoresweep.pipeline.errors import RunError, ScoresweepError, join_names
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.results import Rule
from scoresweep.pipeline.results.best_step import (
    chosen_step,
    find_best_step,
    has_best_step,
    step_plan,
)
from scoresweep.pipeline.results.chosen_tasks import chosen_tasks
from scoresweep.pipeline.results.examine import due_rules
from scoresweep.pipeline.results.halving_choice import write_choice
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.sampling.sampling_job import ONE_CORE, Devices
from scoresweep.pipeline.sampling.worker_pool import keep_workers
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.batches import find_batch, weights_of_task
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.system.batch_state import BatchState
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.device import check_gpus
from scoresweep.pipeline.system.file_cache import keep_loaded

__all__ = ["sweep"]


def sweep(
    plan: Plan,
    run_id: str,
    batch_name: str,
    devices: Devices = ONE_CORE,
    *,
    this_code: bool = False,
) -> None:
    """Draw and measure the settings of a batch that have no valid results.

    Samples are drawn on `devices`. With `this_code`, results of other code are not valid.

    Raises:
        InputError: if there is no such batch, or if the machine has fewer GPUs.
        RunError: at the end, if tasks failed.
    """
    run = plan.run(run_id)
    with keep_loaded(), keep_workers():
        _Batch(plan, run, batch_name, devices, this_code).compute()


@dataclass
class _Batch:
    """A batch that is being computed."""

    plan: Plan
    run: Run
    name: str
    devices: Devices
    this_code: bool

    def __post_init__(self) -> None:
        batch = find_batch(self.plan, self.run, self.name)
        self.tasks = batch.tasks
        if batch.tasks is None:
            self.tasks = chosen_tasks(self.plan, self.run, batch, this_code=self.this_code)
        self.due = [task for task in self.tasks or () if self._due_rules(task)]
        self.state = BatchState("running", 0, len(self.due))

    @cached_property
    def real(self) -> RealData:
        """What the samples of all settings are compared with."""
        return RealData(self.plan, self.run.dataset.id, min(self.devices.gpus, 1))

    def compute(self) -> None:
        """Compute what is due; raise `RunError` at the end if tasks failed."""
        state, started = self.state, time.monotonic()
        record = self.plan.paths.batch(self.run.id, self.name)
        if not self.due:
            done = "every task is done" if self.tasks else "the run has fewer tasks than batches"
            say(f"run {self.run.id}, batch {self.name}: {done}")
            if record.exists():
                return
        check_gpus(self.devices.gpus)  # not once for each task
        for task in self.due:
            state.current = task
            before = time.monotonic()
            if reason := self._try(task):
                state.failed[task] = reason
            else:
                state.seconds_by_task[task] = round(time.monotonic() - before, 3)
            state.step += 1
        state.current, state.state = "", "failed" if state.failed else "done"
        state.seconds = time.monotonic() - started
        self._write_progress()
        if state.failed:
            raise RunError(
                f"{len(state.failed)} of {len(self.due)} tasks of run {self.run.id} failed, for "
                f"the reasons above: {', '.join(state.failed)}"
            )
        write_json(record, dataclasses.asdict(state))

    def _try(self, task: str) -> str:
        """Compute one task; if it fails, print and return the reason."""
        try:
            self._compute(task)
            return ""
        except (ScoresweepError, OSError) as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - of a plugin, or a bug: the other tasks go on
            say(traceback.format_exc())
            reason = f"{type(error).__name__}: {error}"
        say(f"{self.run.id} / {task}: failed: {reason}")
        return reason

    def _compute(self, task: str) -> None:
        self._write_progress()
        plan, run, gpu = self.plan, self.run.id, min(self.devices.gpus, 1)
        due = self._due_rules(task)
        weights = weights_of_task(task)
        setting = plan.setting(task) if weights is None else None
        if due and setting and has_best_step(self.run, setting):
            _choose_best_step(
                plan, self.run, setting, self.devices, self.real, this_code=self.this_code
            )
            due = self._due_rules(task)
        if "sample" in due:
            sample(plan, run, task, self.devices, this_code=self.this_code)
            due = self._due_rules(task)  # another process may have measured it
            self._write_progress()
        if "evaluate" in due:
            evaluate(plan, run, task, gpu, self.real)
        if "score_error" in due:
            score_error(plan, run, gpu, weights or "")

    def _due_rules(self, task: str) -> list[Rule]:
        return due_rules(self.plan, self.run.id, task, this_code=self.this_code)

    def _write_progress(self) -> None:
        """Write the progress file; on a full disk, the tasks report the error."""
        progress = self.plan.paths.batch_progress(self.run.id, self.name)
        with contextlib.suppress(RunError, OSError):
            progress.parent.mkdir(parents=True, exist_ok=True)
            self.state.write(progress)


def _choose_best_step(
    plan: Plan,
    run: Run,
    setting: Setting,
    devices: Devices,
    real: RealData,
    *,
    this_code: bool = False,
) -> None:
    """Measure a setting at every kept step, as far as that is due, and write the choice.

    Raises `RunError` if a step cannot be measured, after the others have been, or none has a value.
    """
    steps, failed = step_plan(plan, run, setting), dict[str, str]()
    for each in steps.settings:
        try:
            _measure_step(steps, run, each, devices, real, this_code=this_code)
        except (ScoresweepError, OSError) as error:
            failed[str(each.sample.training_step)] = str(error)
    where = f"run {run.id}, setting {setting.id}"
    if failed:
        step, reason = next(iter(failed.items()))
        raise RunError(
            f"{where}: no training step is chosen, because {len(failed)} of {len(steps.settings)} "
            f"cannot be measured: {join_names(failed)} (step {step}: {reason}). The others have "
            f"values. Remove the cause and run the same command again; or keep fewer steps (a "
            f"larger train.keep.every, which trains nothing again), or name steps instead of best "
            f"(sample.training_step)"
        )
    choice = find_best_step(plan, run, setting)
    if choice is None or chosen_step(plan, run, setting, choice) is None:
        raise RunError(
            f"{where}: no training step has a value of sample.best_step.measure, so none can be "
            f"chosen. See the attribute `problems` of their metrics; more samples in "
            f"sample.best_step.count may help"
        )
    write_choice(plan, choice)


def _measure_step(
    steps: Plan, run: Run, setting: Setting, devices: Devices, real: RealData, *, this_code: bool
) -> None:
    """Draw and measure a setting of a plan of training steps, as far as that is due."""
    due = due_rules(steps, run.id, setting.id, this_code=this_code)
    if "sample" in due:
        sample(steps, run.id, setting.id, devices, this_code=this_code)
    if due:
        evaluate(steps, run.id, setting.id, min(devices.gpus, 1), real)
