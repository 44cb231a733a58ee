"""From a run of a study to a trainer, and from a trained trainer to the files of the run."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from scoresweep.networks.base import ScoreNetwork
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
from scoresweep.pipeline.training.signals import record_signals
from scoresweep.pipeline.training.tensorboard import run_hparams, write_hparams
from scoresweep.pipeline.training.trainer import RunFolders, Trainer
from scoresweep.pipeline.training.weights import save_network
from scoresweep.samplers import annealed_langevin, initial_samples
from scoresweep.seeds import generator_for

__all__ = ["make_accelerator", "make_trainer", "write_artifacts"]


def make_accelerator(precision: str, gpus: int) -> Accelerator:
    """Return Accelerate's engine; raise if the processes would train apart from each other."""
    if gpus and not torch.cuda.is_available():
        raise InputError(f"gpus: {gpus}: no GPU can be used on this machine; expected 0")
    accelerator = Accelerator(
        mixed_precision=precision,
        cpu=not gpus,
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        ],
    )
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != wanted:
        raise RunError(f"{accelerator.num_processes} processes found each other, not {wanted}")
    return accelerator


def make_trainer(
    run: Run, layout: StudyPaths, gpus: int, check_owner: Callable[[], None] = lambda: None
) -> Trainer:
    """Read the data of `run` and build its trainer.

    `check_owner` raises `RunError` where the run belongs to another job by now; it is asked before
    files are written. From here on SIGTERM and SIGUSR2 are noted instead of obeyed.
    """
    signals = record_signals()
    train, store = run.train, layout.dataset_store(run.dataset.id)
    accelerator = make_accelerator(train.precision, gpus)
    loader = open_loader(
        store, "train", train.batch_size, train.seed, accelerator.device, train.flip
    )
    if train.batch_size > len(loader):
        raise InputError(
            f"train.batch_size: {train.batch_size}: the dataset {run.dataset.id} has only "
            f"{len(loader)} training samples; expected that many or fewer"
        )
    for mistake in train.objective.problems(math.prod(loader.shape)):
        raise InputError(mistake)
    sigmas = resolve_noise_levels(train.noise, functools.partial(training_points, store))
    folders = RunFolders(
        layout.checkpoints(run.id),
        layout.tensorboard(run.id),
        layout.history(run.id),
        layout.progress(run.id),
    )
    count = train.log.image_count
    picture = functools.partial(_picture, sigmas=sigmas, shape=loader.shape, count=count)
    return Trainer(
        train,
        loader,
        training_sha256(check_store(store)),
        sigmas,
        accelerator,
        folders,
        picture=picture if len(loader.shape) == 3 else None,
        signals=signals,
        check_owner=check_owner,
    )


@torch.no_grad()
def _picture(
    network: ScoreNetwork, *, sigmas: Tensor, shape: tuple[int, ...], count: int
) -> Tensor:
    """Draw `count` samples from `network` for TensorBoard, always from the same random numbers."""
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


def write_artifacts(trainer: Trainer, run: Run, layout: StudyPaths) -> None:
    """Write curves, provenance, TensorBoard's HParams and, last, the averaged weights."""
    trainer.check_owner()
    curves = trainer.curves.dataset()
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    processes, device = trainer.accelerator.num_processes, trainer.accelerator.device
    on_gpu = device.type == "cuda"
    curves.attrs = {
        "run": run.id,
        "dataset": run.dataset.id,
        "steps": run.train.steps,
        "seconds": trainer.seconds,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "devices": processes if on_gpu else processes * torch.get_num_threads(),
        "parameters": parameters,
        "precision": run.train.precision,
        "processes": processes,
        "restarts": trainer.restarts,
        "axes": json.dumps(run.axes),
    }
    with atomic_write(layout.training_curves(run.id)) as temporary:
        curves.to_netcdf(temporary, engine="h5netcdf")
    update_provenance(
        layout.provenance(run.id),
        {
            "device": str(device),
            "processes": processes,
            "seconds": trainer.seconds,
            "restarts": trainer.restarts,
            "finished": time.time(),
            MADE_BY: trainer.made_by.record(),
        },
    )
    final = {"result/training_loss": trainer.curves.scalars["loss"][-1]}
    write_hparams(layout.tensorboard(run.id), run_hparams(run), final)
    trainer.job_state("done").write(layout.progress(run.id))
    save_network(layout.weights(run.id), trainer.averaged, run.train.network)
    record = {"training_data": trainer.data}
    data = check_store(layout.dataset_store(run.dataset.id))
    if training_sha256(data) == trainer.data:  # else it has been staged again since
        record["data"] = dataset_sha256(data)
    write_weights_manifest(layout.weights(run.id), layout.weights_manifest(run.id), record)
    prune_checkpoints(layout.checkpoints(run.id), keep=1)
