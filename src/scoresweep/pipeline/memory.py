"""Batches that do not fit into memory: what is said of them, and which size fits."""

from __future__ import annotations

import contextlib
import functools
import gc
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scoresweep.errors import InputError, RunError
from scoresweep.memory import is_out_of_memory
from scoresweep.pipeline.machine import (
    bounded_memory,
    memory_available,
    memory_limit,
    processes_here,
)
from scoresweep.process import give_memory_back
from scoresweep.score import Score

if TYPE_CHECKING:
    from scoresweep.training.loop import Trainer

__all__ = [
    "bytes_of_a_sample",
    "bytes_of_largest_layer",
    "check_training_memory",
    "size_that_fits",
    "told_of_memory",
    "training_advice",
]


TRIES = 3
"""Times that a size must fit one after the other: memory in pieces holds less the second time."""


@contextlib.contextmanager
def told_of_memory(advice: Callable[[], str]) -> Iterator[None]:
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


def size_that_fits(
    work: Callable[[int], object],
    size: int,
    sample_bytes: Callable[[], int],
    device: torch.device,
    processes: int,
) -> int:
    """Return the largest of `size`/2, `size`/4, … for which `work` does not want for memory, or 0.

    It is tried out with a quarter more to spare: what a network takes is not known beforehand. On a
    CPU with an equal part of the memory for each of `processes`, and sizes of which a sample's
    `sample_bytes` come to a third of what is available are passed over, where memory suffices to
    tell: such a try takes long, and not all systems let it fail.
    """
    each: list[int] = []
    on_cpu = device.type == "cpu"
    bound = functools.partial(bounded_memory, processes) if on_cpu else contextlib.nullcontext
    if on_cpu:
        with bound():
            _fits(lambda: each.append(sample_bytes()))
    while size := size // 2:
        gc.collect()
        give_memory_back()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if 3 * size * sum(each) > memory_available() // processes:
            continue
        with bound():
            if all(_fits(functools.partial(work, size + size // 4)) for _ in range(TRIES)):
                return size
    return 0


def _fits(work: Callable[[], object]) -> bool:
    """Do `work` and return whether memory sufficed; what it had made is given back."""
    try:
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
    train, device = trainer.train, trainer.accelerator.device
    part = trainer.share // train.gradient_accumulation
    told = (
        f"train.batch_size: {train.batch_size}: a step takes {part} samples at once in each "
        f"process, which is more than the memory of this {_name(device)} holds."
    )
    fitting = size_that_fits(
        functools.partial(_step, trainer),
        part,
        functools.partial(_bytes_of_a_sample, trainer),
        device,
        processes_here(),
    )
    return f"{told} {_instead(trainer, fitting, 'as was tried')}"


def check_training_memory(trainer: Trainer) -> None:
    """Raise `InputError` before the first step where a CPU's memory cannot hold a step.

    A system that runs out of memory kills a process without a word. What the forward pass keeps for
    the gradient is the least that a step takes; its growth from one sample to two is measured. That
    would be more than the step where it takes one, and says nothing of a compiled network, which
    may keep less. A GPU's torch itself tells.
    """
    train, device = trainer.train, trainer.accelerator.device
    part = trainer.share // train.gradient_accumulation
    if device.type != "cpu" or part == 1 or train.compile:
        return
    sample = _bytes_of_a_sample(trainer)
    room = memory_limit() // processes_here()
    weights = 4 * 4 * sum(p.numel() for p in trainer.network.parameters())
    if weights + part * sample > room:
        raise InputError(
            f"train.batch_size: {train.batch_size}: a step takes {part} samples at once in each "
            f"process, for which it needs more than {(weights + part * sample) / 2**30:.3g} GiB; "
            f"this machine has {room / 2**30:.3g} GiB for it. "
            f"{_instead(trainer, max(0, room - weights) // sample, 'by that estimate, at most')}"
        )


def _instead(trainer: Trainer, fitting: int, how: str) -> str:
    """Say what to change for `fitting` samples at once."""
    if not fitting:
        return "Not even one sample at once fits; expected a smaller network, or more memory."
    parts = next(
        d
        for d in range(1, trainer.share + 1)
        if trainer.share // d <= fitting and trainer.share % d == 0
    )
    smaller = fitting * trainer.train.gradient_accumulation * trainer.accelerator.num_processes
    return (
        f"{fitting} at once fit, {how}: train.gradient_accumulation: {parts} trains the same "
        f"network so; train.batch_size: {smaller} takes smaller batches."
    )


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


def _bytes_of_a_sample(trainer: Trainer) -> int:
    x = torch.zeros(1, *trainer.loader.shape, device=trainer.accelerator.device)
    with trainer.accelerator.autocast():
        return bytes_of_a_sample(trainer.network, x, trainer.sigmas[:1])


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "machine"
