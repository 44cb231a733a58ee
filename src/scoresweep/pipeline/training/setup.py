"""Build the trainer of a run, and write the files of a trained run."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.noise import step_size_by_technique_4
from scoresweep.pipeline.data.shard_loader import open_loader
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results.code_version import MADE_BY
from scoresweep.pipeline.results.input_hashes import (
    dataset_sha256,
    training_sha256,
    write_weights_manifest,
)
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.provenance import update_provenance
from scoresweep.pipeline.training.checkpoint import prune_checkpoints
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.pipeline.training.run_log import RunFolders
from scoresweep.pipeline.training.stop_requests import record_signals
from scoresweep.pipeline.training.tensorboard import run_hparams, write_hparams
from scoresweep.pipeline.training.trainer import Trainer
from scoresweep.pipeline.training.weights import save_network
from scoresweep.samplers import annealed_langevin, initial_samples
from scoresweep.seeds import generator_for

__all__ = ["make_accelerator", "make_trainer", "write_artifacts"]


def make_accelerator(precision: str, gpus: int) -> Accelerator:
    """Return the Accelerator; raise if the processes of the job did not find each other."""
    if gpus and not torch.cuda.is_available():
        raise InputError(f"gpus: {gpus}: this machine has no usable GPU; expected 0")
    accelerator = Accelerator(
        mixed_precision=precision,
        cpu=not gpus,
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        ],
    )
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise RunError(f"{accelerator.num_processes} processes found each other, not {expected}")
    return accelerator


def make_trainer(
    run: Run, paths: StudyPaths, gpus: int, check_owner: Callable[[], None] = lambda: None
) -> Trainer:
    """Load the data of `run` and build its trainer.

    `check_owner` raises `RunError` if the run now belongs to another job; it is called before files
    are written. From now on this process records SIGTERM and SIGUSR2 instead of terminating.
    """
    signals = record_signals()
    train, store = run.train, paths.dataset_store(run.dataset.id)
    accelerator = make_accelerator(train.precision, gpus)
    loader = open_loader(
        store, "train", train.batch_size, train.seed, accelerator.device, train.flip
    )
    if train.batch_size > len(loader):
        raise InputError(
            f"train.batch_size: {train.batch_size}: the dataset {run.dataset.id} has only "
            f"{len(loader)} training samples; expected that many or fewer"
        )
    for problem in train.objective.problems(math.prod(loader.shape)):
        raise InputError(problem)
    sigmas = resolve_noise_levels(train.noise, functools.partial(training_points, store))
    draw_samples = None
    if len(loader.shape) == 3:
        count = train.log.image_count
        draw_samples = functools.partial(
            _draw_samples, sigmas=sigmas, shape=loader.shape, count=count
        )
    return Trainer(
        train,
        loader,
        training_sha256(check_store(store)),
        sigmas,
        accelerator,
        RunFolders(
            paths.checkpoints(run.id),
            paths.tensorboard(run.id),
            paths.history(run.id),
            paths.progress(run.id),
        ),
        draw_samples=draw_samples,
        signals=signals,
        check_owner=check_owner,
    )


@torch.no_grad()
def _draw_samples(
    network: ScoreNetwork, *, sigmas: Tensor, shape: tuple[int, ...], count: int
) -> Tensor:
    """Draw `count` samples from `network` for TensorBoard, always from the same seed."""
    device = next(network.parameters()).device
    generator = generator_for("picture", device=device)
    start = initial_samples(
        "uniform", count, shape, sigma_max=float(sigmas[0]), generator=generator, device=device
    )
    steps, step_size = 100, float(sigmas[-1]) ** 2 / 10
    if len(sigmas) > 1:
        steps, step_size = 3, step_size_by_technique_4(sigmas, 3)
    return annealed_langevin(
        network,
        start,
        sigmas,
        generator=generator,
        step_size=step_size,
        steps_per_level=steps,
        step_rule="variance",
        denoise=True,
    )


def write_artifacts(trainer: Trainer, run: Run, paths: StudyPaths) -> None:
    """Write curves, provenance, TensorBoard's HParams and, last, the averaged weights."""
    trainer.check_owner()
    log, device = trainer.log, trainer.accelerator.device
    attributes = _curve_attributes(trainer, run)
    curves = log.curves.dataset()
    curves.attrs = attributes
    with atomic_write(paths.training_curves(run.id)) as temporary:
        curves.to_netcdf(temporary, engine="h5netcdf")
    facts = {key: attributes[key] for key in ("processes", "seconds", "restarts")}
    facts |= {"device": str(device), "finished": time.time(), MADE_BY: trainer.made_by.record()}
    update_provenance(paths.provenance(run.id), facts)
    final = {"result/training_loss": log.curves.scalars["loss"][-1]}
    write_hparams(paths.tensorboard(run.id), run_hparams(run), final)
    trainer.job_state("done").write(paths.progress(run.id))
    save_network(paths.weights(run.id), trainer.averaged, run.train.network)
    record = {"training_data": trainer.data_sha256}
    data = check_store(paths.dataset_store(run.dataset.id))
    if training_sha256(data) == trainer.data_sha256:  # otherwise it was staged again meanwhile
        record["data"] = dataset_sha256(data)
    write_weights_manifest(paths.weights(run.id), paths.weights_manifest(run.id), record)
    prune_checkpoints(paths.checkpoints(run.id), keep=1)


def _curve_attributes(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Return the attributes of `training.nc`."""
    processes, device = trainer.accelerator.num_processes, trainer.accelerator.device
    on_gpu = device.type == "cuda"
    return {
        "run": run.id,
        "dataset": run.dataset.id,
        "steps": run.train.steps,
        "seconds": trainer.log.seconds,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "devices": processes if on_gpu else processes * torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
        "precision": run.train.precision,
        "processes": processes,
        "restarts": trainer.log.restarts,
        "axes": json.dumps(run.axes),
    }
