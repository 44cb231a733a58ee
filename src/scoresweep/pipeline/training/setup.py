"""Build the trainer of a run."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    KwargsHandler,
)
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.noise import step_size_by_technique_4
from scoresweep.pipeline.data.shard_loader import open_loader
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results.input_hashes import training_sha256
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.system.device import check_gpus, gpu_of_process, process_group_backend
from scoresweep.pipeline.system.visible_gpus import check_slices
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.pipeline.training.run_log import RunFolders
from scoresweep.pipeline.training.stop_requests import record_signals
from scoresweep.pipeline.training.trainer import Trainer
from scoresweep.samplers import annealed_langevin, initial_samples
from scoresweep.seeds import generator_for

__all__ = ["make_accelerator", "make_trainer"]

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others; PyTorch's default for gloo, not for NCCL."""


def make_accelerator(precision: str, gpus: int) -> Accelerator:
    """Return the Accelerator, on the GPU of this process or on the CPU.

    Raises `InputError` if there are fewer than `gpus` GPUs on this node, and `RunError` if the
    processes of the job did not find each other.
    """
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    handlers: list[KwargsHandler] = [
        DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    ]
    if gpus:
        _select_gpu(gpus)
    if expected > 1:
        handlers.append(InitProcessGroupKwargs(process_group_backend(gpus), timeout=TIMEOUT))
    accelerator = Accelerator(mixed_precision=precision, cpu=not gpus, kwargs_handlers=handlers)
    if accelerator.num_processes != expected:
        raise RunError(f"{accelerator.num_processes} processes found each other, not {expected}")
    return accelerator


def _select_gpu(gpus: int) -> None:
    """Set `LOCAL_RANK`, by which Accelerate and DistributedDataParallel choose the GPU."""
    if "LOCAL_RANK" not in os.environ:
        check_gpus(gpus)
        return
    check_gpus(1)
    check_slices(gpus)  # also if SLURM shows each task one slice only
    has_own = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
    rank, visible = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    os.environ["LOCAL_RANK"] = str(gpu_of_process(rank, gpus, visible, has_own))


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
            paths.kept(run.id),
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
