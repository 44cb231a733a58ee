"""Rule `train`: train one run, in one or several processes."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.cluster.launch import launch
from scoresweep.pipeline.cluster.run_owner import RunOwnership
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError, StoppedError
from scoresweep.pipeline.results import is_imported, network_state, recorded_dataset
from scoresweep.pipeline.results.code_summary import remove_if_other_code
from scoresweep.pipeline.results.input_hashes import write_weights_manifest
from scoresweep.pipeline.study import Plan, Run, Setting, StudyPaths
from scoresweep.pipeline.study.weights_name import weights_name
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.system.provenance import Code, snapshot_code

if TYPE_CHECKING:
    from scoresweep.pipeline.training.trainer import Trainer

__all__ = ["train"]

LOCK_SECONDS = 60.0
"""How long a SLURM job waits for another process that trains its run."""

TOO_LARGE = (
    "The network, its optimizer and its averages do not fit into memory: make train.network "
    "smaller, or give the job more memory: --set-resources train:mem_mb=MB (by hand: --memory)."
)
"""Why a training cannot begin."""


def train(plan: Plan, run_id: str, resources: Resources, *, this_code: bool = False) -> None:
    """Train the run `run_id`, resuming from its newest checkpoint; do nothing if it is finished.

    `train_here` does the work, in processes that submitit starts. An exact score needs no training:
    this process writes it. With `this_code`, a network and checkpoints that other code made are
    removed first, unless the network was imported.
    """
    run, paths = plan.run(run_id), plan.paths
    if not this_code and _is_trained(run, paths):
        say(f"{run.id} is already trained: {paths.weights(run.id)}")
        return
    if not paths.dataset_manifest(run.dataset.id).exists():
        raise InputError(
            f"{paths.dataset_store(run.dataset.id)}: is not staged; run `scoresweep stage` first"
        )
    _check_devices(run, resources)
    waiting = f"{run.id}: waiting for another process that trains this run"
    lock = file_lock(paths.launch_lock(run.id), waiting=waiting)
    with lock, _progress_bar(run, paths) as watch:
        if this_code:
            _discard_other_code(run, paths)
        if _is_trained(run, paths):
            return
        if not run.train.network.is_trained:
            _write_oracle(run, paths)
            return
        _train_in_processes(plan, run, resources, watch)


def _train_in_processes(
    plan: Plan, run: Run, resources: Resources, watch: Callable[[], None]
) -> None:
    """Start `train_here` in every process of `resources`, and wait for all of them."""
    paths = plan.paths
    try:
        launch(
            train_here,
            run,
            paths,
            resources,
            snapshot_code(paths.code(run.id)),
            plan.settings,
            resources=resources,
            logs=paths.run(run.id) / "logs",
            title=f"{plan.study.study}.{run.id}",
            record=paths.job_record(run.id),
            watch=watch,
            progress=functools.partial(_saved_step, paths, run.id),
        )
    except (KeyboardInterrupt, SystemExit):
        state = JobState.read(paths.progress(run.id))
        if state and resources.cluster == "local":
            say(f"{run.id}: {state.message}")
        raise


def _is_trained(run: Run, paths: StudyPaths) -> bool:
    """Return whether the run has weights that were trained on the data that is staged now.

    Writes their manifest if it is missing, because Snakemake waits for it.
    """
    network = network_state(paths, run.id, recorded_dataset(paths, run.dataset.id))
    if network.state != "done":
        return False
    if "weights_file" not in network.hashes:
        write_weights_manifest(paths.weights(run.id), paths.weights_manifest(run.id), {})
    return True


def _discard_other_code(run: Run, paths: StudyPaths) -> None:
    """Remove the run's network or its checkpoints if other code made them."""
    outputs = [paths.weights(run.id), paths.weights_manifest(run.id), paths.history(run.id)]
    outputs += [paths.kept(run.id), paths.checkpoints(run.id), paths.tensorboard(run.id)]
    if paths.weights(run.id).exists():
        if not is_imported(paths, run.id):
            remove_if_other_code("networks", paths.provenance(run.id), *outputs)
        return
    for state in sorted(paths.checkpoints(run.id).glob("step-*/state.json")):
        remove_if_other_code("networks", state, *outputs)


def _write_oracle(run: Run, paths: StudyPaths) -> None:
    from scoresweep.pipeline.training.artifacts import write_run_header, write_run_without_training
    from scoresweep.pipeline.training.network_setup import make_oracle

    try:
        oracle = make_oracle(run, paths)
        write_run_header(run, paths)
        write_run_without_training(run, paths, oracle)
    except ScoresweepError as error:
        state = JobState("failed", 0, run.train.steps)
        _record_failure(state, error, paths.progress(run.id))
        raise


def _record_failure(state: JobState, error: ScoresweepError, path: Path) -> None:
    state.message = str(error)
    with contextlib.suppress(RunError):  # if the disk is full, report the first error
        state.write(path)


def train_here(
    run: Run,
    paths: StudyPaths,
    resources: Resources,
    code: Code | None = None,
    settings: Sequence[Setting] = (),
) -> None:
    """Train in this process, together with the other processes of its job.

    `code` is the snapshot of the code that the launching process took. Raises `InputError` before
    the first step if one of `settings` does not fit the run's noise ladder: the plan cannot check
    that for a ladder that depends on the data.
    """
    from scoresweep.pipeline.system.device import check_precision
    from scoresweep.pipeline.system.memory_errors import explain_out_of_memory
    from scoresweep.pipeline.system.process import set_up_process
    from scoresweep.pipeline.training.artifacts import write_artifacts, write_run_header
    from scoresweep.pipeline.training.setup import make_trainer
    from scoresweep.pipeline.training.step_memory import step_memory_advice

    set_up_process(resources.threads)
    steps, is_main = run.train.steps, int(os.environ.get("RANK", "0")) == 0
    with _training_lock(paths.training_lock(run.id)) if is_main else contextlib.nullcontext():
        if _is_trained(run, paths):
            return
        owner = RunOwnership(paths.owner_token(run.id), paths.job_record(run.id))
        if is_main:
            owner.acquire()
            write_run_header(run, paths, code)
        trainer = None
        try:
            with _name_deleted_file(paths.run(run.id)):
                check_precision("train", run.train.precision, resources.gpus)
                with explain_out_of_memory(lambda: TOO_LARGE):
                    trainer = make_trainer(run, paths, resources.gpus, owner.check)
                _check_settings(run, settings, trainer)
                trainer.kept.needed = _needed_weights(run, settings)
                advice = functools.partial(step_memory_advice, trainer.training_step)
                with explain_out_of_memory(advice):
                    trainer.run()
                if is_main:
                    write_artifacts(trainer, run, paths)
        except ScoresweepError as error:
            stopped = isinstance(error, StoppedError)
            if is_main or not stopped:  # a stop ends all processes, any other error maybe only one
                state = trainer.job_state("failed") if trainer else JobState("failed", 0, steps)
                if stopped:
                    state.state = "stopped"
                _record_failure(state, error, paths.progress(run.id))
            raise


@contextlib.contextmanager
def _name_deleted_file(folder: Path) -> Iterator[None]:
    """Raise `RunError` if a file in the run's `folder` was deleted."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(
            f"{error.filename or folder}: was deleted during training; start it again to resume "
            f"from the newest checkpoint that is left"
        ) from error


def _check_settings(run: Run, settings: Sequence[Setting], trainer: Trainer) -> None:
    from scoresweep.pipeline.sampling.resolve import step_sizes_for

    sigmas = trainer.sigmas.double().cpu()
    for setting in settings:
        if setting.sample.noise is None:
            step_sizes_for(run, setting, sigmas)


def _needed_weights(run: Run, settings: Sequence[Setting]) -> dict[str, int]:
    """Return the names of weights that settings use besides the default ones, and their steps."""
    last, first = run.train.steps, run.train.decays[0]
    found = {}
    for sample in (setting.sample for setting in settings):
        step = sample.training_step or last
        for each in run.train.kept_steps if step == "best" else [step]:
            found[weights_name(each, sample.ema, last, first)] = each
    return {name: step for name, step in found.items() if name}


def _training_lock(lock: Path) -> contextlib.AbstractContextManager[None]:
    """Wait for another process that trains the run; in a SLURM job only for `LOCK_SECONDS`.

    There, the lock may belong to a dead node. If its process is alive after all, the run's owner
    token keeps it from writing.
    """
    on_slurm = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
    return file_lock(lock, LOCK_SECONDS if on_slurm else math.inf)


def _saved_step(paths: StudyPaths, run: str) -> int:
    """Return the step of the newest checkpoint, or 0."""
    names = [path.name for path in paths.checkpoints(run).glob("step-*")]
    return max((int(name.removeprefix("step-")) for name in names), default=0)


def _check_devices(run: Run, resources: Resources) -> None:
    gpus, processes = resources.gpus, resources.processes
    if run.train.precision == "fp16" and not gpus:
        raise InputError(
            "train.precision: 'fp16': needs a GPU (--gpus 1); expected 'no' or 'bf16' on a CPU"
        )
    if gpus and processes != gpus:
        raise InputError(
            f"--gpus {gpus} --processes {processes}: expected one process per GPU: "
            f"--gpus {gpus} --processes {gpus} (with snakemake: --set-resources train:gpu={gpus} "
            f"train:processes={gpus})"
        )


@contextlib.contextmanager
def _progress_bar(run: Run, paths: StudyPaths) -> Iterator[Callable[[], None]]:
    """Show the run's progress; yield a function that updates the bar."""
    shown = _saved_step(paths, run.id)
    with progress(f"train {run.id}", run.train.steps, shown) as advance:

        def update() -> None:
            nonlocal shown
            state = JobState.read(paths.progress(run.id))
            if state and state.state != "failed" and state.step > shown:
                advance(state.step - shown)
                shown = state.step

        yield update
