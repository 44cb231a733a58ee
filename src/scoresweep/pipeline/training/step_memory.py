"""Advice for a training step that does not fit in memory."""

from __future__ import annotations

import functools

import torch

from scoresweep.pipeline.system.gpu_memory import fits_on_gpu, largest_fitting_size
from scoresweep.pipeline.system.memory_errors import MEMORY_REMEDIES
from scoresweep.pipeline.training.training_step import TrainingStep

__all__ = ["step_memory_advice"]


def step_memory_advice(step: TrainingStep) -> str:
    """Return what to change if a step runs out of memory.

    On a GPU, smaller steps are tried and a size that fits is named.
    """
    train, device = step.train, step.accelerator.device
    size = step.local_batch_size // train.gradient_accumulation
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else device.type
    problem = (
        f"train.batch_size: {train.batch_size}: each process takes {size} samples at once, too "
        f"many for the memory of {name}."
    )
    if not on_gpu:
        return f"{problem} To fix it, {MEMORY_REMEDIES['train']}."
    take = functools.partial(_take_gradient, step)
    fitting = largest_fitting_size(lambda n: fits_on_gpu(functools.partial(take, n)), size)
    return f"{problem} {_suggestion(step, fitting)}"


def _suggestion(step: TrainingStep, fitting: int) -> str:
    """Return which options give steps of at most `fitting` samples at once."""
    if not fitting:
        return "No smaller size fits either: use a smaller network or a GPU with more memory."
    parts = next(
        d
        for d in range(1, step.local_batch_size + 1)
        if step.local_batch_size // d <= fitting and step.local_batch_size % d == 0
    )
    smaller = fitting * step.train.gradient_accumulation * step.accelerator.num_processes
    return (
        f"{fitting} at once fit: set train.gradient_accumulation: {parts} (trains the same "
        f"network) or train.batch_size: {smaller} (trains on smaller batches)."
    )


def _take_gradient(step: TrainingStep, size: int) -> None:
    """Compute the gradient for `size` samples in this process alone, and discard it.

    It also allocates what a real step holds: the gradient of earlier parts of the batch and, before
    the first step, Adam's two moments. `torch.autograd.grad` skips the hooks that would wait for
    the other processes.
    """
    step.network.zero_grad(set_to_none=True)
    parameters = list(step.network.parameters())
    copies = 1 if step.optimizer.state else 3
    _held = [torch.zeros_like(p) for p in parameters for _ in range(copies)]
    _, losses = step.losses(step.network, 0, 0, size)
    torch.autograd.grad(losses.mean(), parameters, allow_unused=True)
