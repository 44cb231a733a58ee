"""Time a few training steps and score evaluations of a network on random data."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scoresweep.pipeline.study import Sample, Train
from scoresweep.pipeline.training.plugin_objective import load_objective
from scoresweep.pipeline.training.trainable import build_trainable
from scoresweep.score import Score

__all__ = ["StepTimes", "probe"]

LONG_ENOUGH = 0.3
"""Seconds above which a measurement is not repeated with a larger batch."""


class StepTimes(NamedTuple):
    """Cost of one network on this machine."""

    step_seconds: float
    """Seconds of a training step; 0 for an oracle."""
    sample_seconds: float
    """Seconds of one score evaluation of one sample."""
    parameters: int
    """Number of parameters."""


def probe(
    train: Train, sample: Sample, shape: tuple[int, ...], oracle: nn.Module | None = None
) -> StepTimes:
    """Time training steps and score evaluations of a network on random samples of `shape`.

    Batches grow until one takes 0.3 s or has the size of the study's; the time of the full batch
    is extrapolated linearly. An `oracle` has no training steps.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    memory_format = torch.channels_last if len(shape) == 3 else torch.contiguous_format
    sigmas = torch.logspace(1, -2, 10, dtype=torch.float64)
    network = train.network
    model: nn.Module = oracle or build_trainable(network, shape, sigmas)
    model = model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = None if oracle else torch.optim.Adam(model.parameters())
    objective = load_objective(train.objective)

    def score_in(precision: str) -> Score:
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

        def score(x: Tensor, sigma: Tensor) -> Tensor:
            with torch.autocast(device, dtype=kind, enabled=kind is not None):
                return model(x, sigma)  # type: ignore[no-any-return]

        return score

    def draw(size: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(size, *shape, device=device).to(memory_format=memory_format)
        return x, sigmas[:1].float().expand(size).to(device)

    def step(size: int) -> None:
        assert optimizer is not None
        x, sigma = draw(size)
        directions = train.objective.projections
        projected = {"v": torch.ones(directions, *x.shape, device=device)} if directions else {}
        losses: Tensor = objective(score_in(train.precision), x, sigma, x, **projected)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    chunk = min(sample.chunk, sample.count)
    step_seconds = _seconds(step, train.batch_size) if optimizer else 0.0
    with torch.no_grad():
        drawing = _seconds(lambda size: score_in(sample.precision)(*draw(size)), chunk)
    return StepTimes(step_seconds, drawing / chunk, sum(p.numel() for p in model.parameters()))


def _seconds(work: Callable[[int], object], full: int) -> float:
    """Return the seconds of `work(full)`, extrapolated from a smaller batch if that is slow.

    The minimum of three repeats is used, since other load only makes a repeat slower.
    """
    size = min(full, 8)
    work(size)  # warm-up: allocation and kernel selection
    while True:
        seconds = min(_timed(work, size) for _ in range(3))
        if size == full or seconds > LONG_ENOUGH:
            return seconds * full / size
        size = min(full, 4 * size)


def _timed(work: Callable[[int], object], size: int) -> float:
    started = time.perf_counter()
    work(size)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
