"""Rule `train`: one run, in as many processes as asked for."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoresweep.pipeline.cluster import Resources, RunOwnership
from scoresweep.pipeline.cluster.launch import launch
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError, StoppedError
from scoresweep.pipeline.results import is_imported, network_state, recorded_dataset
from scoresweep.pipeline.results.code_summary import remove_if_other_code
from scoresweep.pipeline.results.input_hashes import write_weights_manifest
from scoresweep.pipeline.study import Plan, Run, Setting, StudyPaths
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.system.provenance import Code, snapshot_code

if TYPE_CHECKING:
    from scoresweep.pipeline.training.trainer import Trainer

__all__ = ["train"]

PATIENCE = 60.0
"""Seconds for which a SLURM job waits for another process that trains its run."""


def train(plan: Plan, run_id: str, resources: Resources, *, this_code: bool = False) -> None:
    """Train the run `run_id`, going on from its newest checkpoint; a finished run is left alone.

    The work itself is done by `train_here`, in processes that submitit starts. An oracle has
    nothing to train: it is written at once, in this process. With `this_code`, a network and
    checkpoints that other code has made are removed first, unless the network was imported.
    """
    run, layout = plan.run(run_id), plan.paths
    if not this_code and _is_trained(run, layout):
        say(f"{run.id} is trained already: {layout.weights(run.id)}")
        return
    if not layout.dataset_manifest(run.dataset.id).exists():
        raise InputError(
            f"{layout.dataset_store(run.dataset.id)}: is not staged; run `scoresweep stage` first"
        )
    _check_devices(run, resources)
    waiting = f"{run.id}: another process is training it; waiting for that one"
    lock = file_lock(layout.launch_lock(run.id), waiting=waiting)
    with lock, _bar(run, layout) as watch:
        if this_code:
            _discard_other_code(run, layout)
        if _is_trained(run, layout):
            return
        if not run.train.network.is_trained:
            _write_oracle(run, layout)
            return
        try:
            launch(
                train_here,
                run,
                layout,
                resources,
                snapshot_code(layout.code(run.id)),
                plan.settings,
                resources=resources,
                logs=layout.run(run.id) / "logs",
                title=f"{plan.study.study}.{run.id}",
                record=layout.job_record(run.id),
                watch=watch,
                progress=functools.partial(_saved_step, layout, run.id),
            )
        except (KeyboardInterrupt, SystemExit):
            state = JobState.read(layout.progress(run.id))
            if state and resources.cluster == "local":
                say(f"{run.id}: {state.message}")
            raise


def _is_trained(run: Run, layout: StudyPaths) -> bool:
    """Whether the run has weights, made from the data that is staged now.

    If these lack their manifest, it is written: Snakemake waits for it.
    """
    network = network_state(layout, run.id, recorded_dataset(layout, run.dataset.id))
    if network.state != "done":
        return False
    if "weights_file" not in network.hashes:
        write_weights_manifest(layout.weights(run.id), layout.weights_manifest(run.id), {})
    return True


def _discard_other_code(run: Run, layout: StudyPaths) -> None:
    """Remove the run's network, or the checkpoints of one, if other code has made them."""
    products = [layout.weights(run.id), layout.weights_manifest(run.id), layout.history(run.id)]
    products += [layout.checkpoints(run.id), layout.tensorboard(run.id)]
    if layout.weights(run.id).exists():
        if not is_imported(layout, run.id):
            remove_if_other_code("networks", layout.provenance(run.id), *products)
        return
    for state in sorted(layout.checkpoints(run.id).glob("step-*/state.json")):
        remove_if_other_code("networks", state, *products)


def _write_oracle(run: Run, layout: StudyPaths) -> None:
    from scoresweep.pipeline.training.artifacts import (
        make_oracle,
        write_run_header,
        write_run_without_training,
    )

    try:
        oracle = make_oracle(run, layout)
        write_run_header(run, layout)
        write_run_without_training(run, layout, oracle)
    except ScoresweepError as error:
        state = JobState("failed", 0, run.train.steps)
        _note_failure(state, error, layout.progress(run.id))
        raise


def _note_failure(state: JobState, error: ScoresweepError, path: Path) -> None:
    """Write down why a run has ended, if the disk still takes it: that error is to be told."""
    state.message = str(error)
    with contextlib.suppress(RunError):
        state.write(path)


def train_here(
    run: Run,
    layout: StudyPaths,
    resources: Resources,
    code: Code | None = None,
    settings: Sequence[Setting] = (),
) -> None:
    """Train in this process, together with the others of its job if there are several.

    `code` is what the process that launched them has kept. Raises `InputError` before the first
    step where one of `settings` does not fit the run's ladder, which the data may tell: so does
    the plan where it knows the ladder.
    """
    from scoresweep.pipeline.system.device import check_precision
    from scoresweep.pipeline.system.memory_errors import explain_out_of_memory
    from scoresweep.pipeline.system.process import set_up_process
    from scoresweep.pipeline.training.artifacts import write_run_header
    from scoresweep.pipeline.training.setup import make_trainer, write_artifacts
    from scoresweep.pipeline.training.step_memory import step_memory_advice

    set_up_process(resources.threads)
    steps, first = run.train.steps, int(os.environ.get("RANK", "0")) == 0
    with _turn(layout.training_lock(run.id)) if first else contextlib.nullcontext():
        if _is_trained(run, layout):
            return
        owner = RunOwnership(layout.owner_mark(run.id), layout.job_record(run.id))
        if first:
            owner.acquire()
            write_run_header(run, layout, code)
        trainer = None
        try:
            with _named_if_deleted(layout.run(run.id)):
                check_precision("train", run.train.precision, resources.gpus)
                trainer = make_trainer(run, layout, resources.gpus, owner.check)
                _check_settings(run, settings, trainer)
                with explain_out_of_memory(functools.partial(step_memory_advice, trainer)):
                    trainer.run()
                if first:
                    write_artifacts(trainer, run, layout)
        except ScoresweepError as error:
            stopped = isinstance(error, StoppedError)
            if first or not stopped:  # which all others are, too
                state = trainer.job_state("failed") if trainer else JobState("failed", 0, steps)
                if stopped:
                    state.state = "stopped"
                _note_failure(state, error, layout.progress(run.id))
            raise


@contextlib.contextmanager
def _named_if_deleted(folder: Path) -> Iterator[None]:
    """Raise `RunError` if a file is gone that is needed; `folder` is the run's."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(
            f"{error.filename or folder}: was deleted while the run was trained; start it again: "
            f"it goes on from the newest checkpoint that is left"
        ) from error


def _check_settings(run: Run, settings: Sequence[Setting], trainer: Trainer) -> None:
    from scoresweep.pipeline.sampling.resolve import step_sizes_for

    ladder = trainer.sigmas.double().cpu()
    for setting in settings:
        if setting.sample.noise is None:
            step_sizes_for(run, setting, ladder)


def _turn(lock: Path) -> contextlib.AbstractContextManager[None]:
    """Wait for the process that trains; in a SLURM job not for ever, for it may be a dead node's.

    The mark of the run's owner keeps that one from writing, should it be alive.
    """
    on_slurm = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
    return file_lock(lock, PATIENCE if on_slurm else math.inf)


def _saved_step(layout: StudyPaths, run: str) -> int:
    """Return the step of the newest checkpoint; 0 where there is none."""
    names = [path.name for path in layout.checkpoints(run).glob("step-*")]
    return max((int(name.removeprefix("step-")) for name in names), default=0)


def _check_devices(run: Run, resources: Resources) -> None:
    gpus, processes = resources.gpus, resources.processes
    if run.train.precision == "fp16" and not gpus:
        raise InputError(
            "train.precision: 'fp16': needs a GPU (--gpus 1); expected 'no' or 'bf16' on a CPU"
        )
    if gpus and processes != gpus:
        raise InputError(
            f"--gpus {gpus} --processes {processes}: on each node a process trains on one GPU; "
            f"expected as many processes as GPUs: --gpus {gpus} --processes {gpus} (with "
            f"snakemake: --set-resources train:gpu={gpus} train:processes={gpus})"
        )


@contextlib.contextmanager
def _bar(run: Run, layout: StudyPaths) -> Iterator[Callable[[], None]]:
    """Show the steps that the run reports; gives the function that looks at them."""
    shown = _saved_step(layout, run.id)
    with progress(f"train {run.id}", run.train.steps, shown) as advance:

        def look() -> None:
            nonlocal shown
            state = JobState.read(layout.progress(run.id))
            if state and state.state != "failed" and state.step > shown:
                advance(state.step - shown)
                shown = state.step

        yield look
