"""Batches that do not fit into memory: what is said of them, and which size fits."""

from __future__ import annotations

import contextlib
import functools
import gc
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scoresweep.networks.base import ScoreNetwork
from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.study import Train
from scoresweep.pipeline.system.device import CPU
from scoresweep.pipeline.system.memory_available import memory_available, processes_here
from scoresweep.pipeline.system.memory_trial import can_try, fits
from scoresweep.pipeline.system.process import set_up_process
from scoresweep.pipeline.training.step_noise import StepNoise
from scoresweep.pipeline.training.weights import build_network
from scoresweep.score import Score

if TYPE_CHECKING:
    from scoresweep.pipeline.training.trainer import Trainer

__all__ = [
    "DOUBT",
    "NONE_FITS",
    "bytes_of_a_sample",
    "bytes_of_largest_layer",
    "check_training_memory",
    "explain_out_of_memory",
    "how_found",
    "largest_fitting_size",
    "suffices",
    "training_advice",
]


TRIES = 3
"""Times that a size must fit a GPU one after the other: in pieces it holds less the second time."""

COPIES = 3
"""Tensors of the size of the weights that a first step makes: a gradient, and two of Adam."""

NONE_FITS = "No size that was tried fits; expected a smaller network, or more memory."

DOUBT = 15
"""Times its least bytes that work is taken to need at most: where there is more, none is tried."""


@contextlib.contextmanager
def explain_out_of_memory(advice: Callable[[], str]) -> Iterator[None]:
    """Raise `RunError` with the `advice` where there is not enough memory for the body.

    What the body had made is given back before the advice is asked for, which may try sizes.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        traceback.clear_frames(error.__traceback__)
        raise RunError(f"{advice()} The first that failed: {reason}") from None


def largest_fitting_size(fits: Callable[[int], bool], size: int) -> int:
    """Return the largest of `size`/2, `size`/4, … that `fits` with a quarter to spare, or 0."""
    while size := size // 2:
        if fits(size + size // 4):
            return size
    return 0


def how_found(device: str) -> str:
    """Say how a size that fits a device was found."""
    return "as was tried" if device != "cpu" or can_try() else "by an estimate, at most"


def suffices(work: Callable[[], object]) -> bool:
    """Do `work` in this process; return whether a GPU's memory sufficed, and give it back."""
    gc.collect()
    torch.cuda.empty_cache()
    try:
        for _ in range(TRIES):
            work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    return True


def bytes_of_a_sample(score: Score, x: Tensor, sigma: Tensor) -> int:
    """Return the bytes that a score keeps of each sample for a gradient, as of `x` (1, ...).

    `sigma` is (1,). What two samples take more than one: weights are in neither.
    """
    one, two = (
        _kept_bytes(score, x.repeat(size, *[1] * (x.ndim - 1)), sigma.expand(size))
        for size in (1, 2)
    )
    return max(1, two - one)


def _kept_bytes(score: Score, x: Tensor, sigma: Tensor) -> int:
    kept: dict[int, Tensor] = {}

    def keep(part: Tensor) -> Tensor:
        kept[part.untyped_storage().data_ptr()] = part
        return part

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part), torch.enable_grad():
        score(x, sigma)
    return sum(part.untyped_storage().nbytes() for part in kept.values())


@torch.no_grad()
def bytes_of_largest_layer(network: nn.Module, work: Callable[[], object]) -> int:
    """Return the most bytes that a layer of `network` takes in and puts out during `work`."""
    largest = 0

    def note(_layer: nn.Module, given: tuple[object, ...], found: object) -> None:
        nonlocal largest
        tensors = [part for part in (*given, found) if isinstance(part, Tensor)]
        largest = max(largest, sum(part.numel() * part.element_size() for part in tensors))

    layers = [module for module in network.modules() if not any(module.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        work()
    finally:
        for hook in hooks:
            hook.remove()
    return largest


# ── training ────────────────────────────────────────────────────────────────────────────────────


def training_advice(trainer: Trainer) -> str:
    """Say which part of a batch fits, by steps that are tried out."""
    train, part = trainer.train, _part(trainer)
    fitting = largest_fitting_size(functools.partial(_step_fits, trainer), part)
    return (
        f"train.batch_size: {train.batch_size}: a step takes {part} samples at once in each "
        f"process, which is more than the memory of this {_name(trainer.accelerator.device)} "
        f"holds. {_instead(trainer, fitting)}"
    )


def check_training_memory(trainer: Trainer) -> None:
    """Raise `InputError` before the first step where a CPU's memory cannot hold a step.

    A step is tried out where it might not fit. A compiled network may take less than it does as it
    is: nothing is said of that. A GPU's torch itself tells.
    """
    if trainer.accelerator.device.type != "cpu" or trainer.train.compile:
        return
    from accelerate.utils import broadcast_object_list  # sampling does without Accelerate

    told = [""]
    if trainer.accelerator.is_main_process:
        part = _part(trainer)
        most = DOUBT * max(1, trainer.draws.projections) * _least_bytes(trainer, part)
        is_doubtful = most > memory_available() // processes_here()
        if is_doubtful and not _step_fits(trainer, part):
            told = [training_advice(trainer)]
    if message := broadcast_object_list(told)[0]:
        raise InputError(message)


def _part(trainer: Trainer) -> int:
    """Return how many samples a process takes at once."""
    return trainer.share // trainer.train.gradient_accumulation


def _instead(trainer: Trainer, fitting: int) -> str:
    """Say what to change for `fitting` samples at once."""
    if not fitting:
        return NONE_FITS
    parts = next(
        d
        for d in range(1, trainer.share + 1)
        if trainer.share // d <= fitting and trainer.share % d == 0
    )
    smaller = fitting * trainer.train.gradient_accumulation * trainer.accelerator.num_processes
    return (
        f"{fitting} at once fit, {how_found(trainer.accelerator.device.type)}: "
        f"train.gradient_accumulation: {parts} trains the same network so; "
        f"train.batch_size: {smaller} takes smaller batches."
    )


def _step_fits(trainer: Trainer, size: int) -> bool:
    """Tell whether memory holds a step of `size` samples at once, which is tried out."""
    if trainer.accelerator.device.type == "cuda":
        return suffices(functools.partial(_step, trainer, size))
    room = memory_available() // processes_here()
    if _least_bytes(trainer, size) > room:
        return False
    # The new process has the weights to make, too; this one has them. Buckets are for others.
    copies = COPIES - 2 + (trainer.accelerator.num_processes > 1)
    shape, sigmas = trainer.loader.shape, trainer.sigmas.tolist()
    threads = torch.get_num_threads()
    step = functools.partial(_first_step, trainer.train, shape, sigmas, threads, copies, size)
    return fits(step, room)


def _step(trainer: Trainer, size: int) -> None:
    """Take the gradient of `size` samples in this process alone, and forget it.

    Adam's two moments are made in the first step, and earlier parts of a batch leave a gradient.
    `torch.autograd.grad` leaves out the hooks by which other processes would be waited for.
    """
    trainer.network.zero_grad(set_to_none=True)
    parameters = list(trainer.network.parameters())
    copies = 1 if trainer.optimizer.state else 3
    _held = [torch.zeros_like(p) for p in parameters for _ in range(copies)]
    _, losses = trainer.losses(trainer.network, 0, size)
    torch.autograd.grad(losses.mean(), parameters, allow_unused=True)


def _first_step(
    train: Train,
    shape: tuple[int, ...],
    ladder: Sequence[float],
    threads: int,
    copies: int,
    size: int,
) -> ScoreNetwork:
    """Take the gradient of `size` samples of noise, in a process that has nothing yet.

    Beside `copies` of the weights; returns the network.
    """
    set_up_process(threads)
    sigmas = torch.tensor(ladder)
    network = build_network(train.network, shape, sigmas)
    parameters = list(network.parameters())
    _held = [torch.zeros_like(p) for p in parameters for _ in range(copies)]
    objective = train.objective
    draws = StepNoise(0, shape, len(sigmas), CPU, objective.projections, objective.distribution)
    levels, z, v = draws(0, 0, size)
    projected = {"v": v} if len(v) else {}

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=train.precision == "bf16"):
            output: Tensor = network(x, sigma).float()
        return output

    x = torch.randn_like(z)
    losses = objective.load()(score, x, sigmas[levels], z, **projected, **objective.arguments())
    losses.mean().backward()
    return network


def _least_bytes(trainer: Trainer, size: int) -> int:
    """Return less than a step of `size` samples takes: weights and what is kept of each sample."""
    x = torch.zeros(1, *trainer.loader.shape, device=trainer.accelerator.device)
    with trainer.accelerator.autocast():
        sample = bytes_of_a_sample(trainer.network, x, trainer.sigmas[:1])
    return COPIES * 4 * sum(p.numel() for p in trainer.network.parameters()) + size * sample


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "machine"
