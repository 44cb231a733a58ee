"""One optimiser step: loss, gradient, weights and their exponential moving average."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import get_total_norm

from scoresweep.adamw import AdamW
from scoresweep.objectives.sigma_laws import nearest_level
from scoresweep.pipeline.data.memory_loader import BatchSource
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.models import Train
from scoresweep.pipeline.training.compile import compile_network
from scoresweep.pipeline.training.curves import LossAccumulator
from scoresweep.pipeline.training.plugin_objective import load_objective
from scoresweep.pipeline.training.schedule import ema_decay, learning_rate
from scoresweep.pipeline.training.step_noise import StepNoise
from scoresweep.pipeline.training.trainable import build_trainable
from scoresweep.score import Score
from scoresweep.seeds import derive_seed

__all__ = ["TrainingStep", "local_batch_size"]


class TrainingStep:
    """The network, its optimiser and its averaged copies; `update` takes a step."""

    def __init__(
        self, train: Train, loader: BatchSource, sigmas: Tensor, accelerator: Accelerator
    ) -> None:
        """Build everything from the seed; `sigmas` (L,) is the noise ladder."""
        device = accelerator.device
        self.train = train
        self.loader = loader
        self.accelerator = accelerator
        self.local_batch_size = local_batch_size(train, accelerator.num_processes)
        self.sigmas = sigmas.to(device, torch.float32)
        torch.manual_seed(derive_seed(train.seed, "weights"))
        self.network = build_trainable(train.network, loader.shape, sigmas).to(device)
        self.averages = {
            decay: copy.deepcopy(self.network).requires_grad_(False).eval()
            for decay in train.decays
        }
        """Averaged copies of the network, by their decay."""
        self.objective = load_objective(train.objective)
        self.optimizer = AdamW(
            self.network.parameters(),
            lr=train.optimizer.learning_rate,
            betas=(train.optimizer.beta1, train.optimizer.beta2),
            eps=train.optimizer.eps,
            weight_decay=train.optimizer.weight_decay,
            fused=True,
        )
        self.noise = StepNoise(
            train.seed,
            loader.shape,
            len(sigmas),
            device,
            train.objective.projections,
            train.objective.distribution,
            self._sigma_law(),
        )
        self.accumulator = LossAccumulator(train.log.scalars, len(sigmas), device)

    def prepare(self, step: int) -> None:
        """Compile the network if asked for, and wrap it for the processes; call before `update`.

        `step` is the number of steps taken so far.
        """
        if self.train.compile:
            self._compile(step)
        self.model, self.prepared_optimizer = self.accelerator.prepare(self.network, self.optimizer)

    def _compile(self, step: int) -> None:
        def attempt() -> None:
            with self.accelerator.autocast():
                _, losses = self.losses(self.network, step, 0, self._micro_batch_size)
            losses.mean().backward()  # type: ignore[no-untyped-call]

        compile_network(self.network, attempt)
        self.network.zero_grad(set_to_none=True)

    def update(self, step: int) -> Tensor | None:
        """Take step number `step`, from 0; return the gradient norm if a point is logged."""
        rate = learning_rate(self.train.optimizer, step, self.train.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        micro_batches = self.train.gradient_accumulation
        self.accumulator.begin(step)
        for index in range(micro_batches):
            is_last = index == micro_batches - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                self.accelerator.backward(self._loss(step, index) / micro_batches)
        norm = self._gradient_norm(step)
        before = self._steps_taken() if self.accelerator.scaler else None
        self.prepared_optimizer.step()
        self.prepared_optimizer.zero_grad(set_to_none=True)
        self._average(step, None if before is None else self._steps_taken() - before)
        return norm

    @property
    def _micro_batch_size(self) -> int:
        return self.local_batch_size // self.train.gradient_accumulation

    def _loss(self, step: int, index: int) -> Tensor:
        """Return the mean loss of micro-batch `index` of this process."""
        start = (
            self.accelerator.process_index * self.local_batch_size + index * self._micro_batch_size
        )
        levels, losses = self.losses(self.model, step, start, self._micro_batch_size)
        self.accumulator.add(step, levels, losses)
        return losses.mean()

    def losses(self, model: Score, step: int, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Return levels and losses, (size,), of the batch's samples from position `start` on.

        For σ from a continuous law, the levels are the nearest ones of the ladder.
        """
        x = self.loader.batch(step, start, start + size)
        drawn, z, v = self.noise(step, start, start + size)
        projections = {"v": v} if len(v) else {}
        if self.train.noise_sampling is None:
            levels, sigma = drawn, self.sigmas[drawn]
        else:
            levels, sigma = nearest_level(drawn, self.sigmas), drawn
        return levels, self.objective(model, x, sigma, z, **projections)

    def _sigma_law(self) -> Callable[[int, torch.Generator], Tensor] | None:
        """Return what draws σ from the continuous law of the run, if it has one."""
        law = self.train.noise_sampling
        if law is None:
            return None
        draw, options = law.load(), law.arguments()
        return lambda count, generator: draw(count, self.sigmas, generator=generator, **options)

    def _gradient_norm(self, step: int) -> Tensor | None:
        """Clip the gradient if asked for; return its norm if it is known or logged."""
        if self.train.gradient_clip is not None:
            norm: Tensor = self.accelerator.clip_grad_norm_(
                self.network.parameters(), self.train.gradient_clip
            )
            return norm
        if (step + 1) % self.train.log.scalars and step + 1 != self.train.steps:
            return None
        self.accelerator.unscale_gradients()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return get_total_norm(gradients)

    def _steps_taken(self) -> Tensor:
        """Return Adam's step count, on the device; a step that the fp16 scaler skips is not in it.

        Accelerate's `optimizer_step_was_skipped` is always False for the fused optimiser, which
        skips inside its kernel.
        """
        counts = (state["step"] for state in self.optimizer.state.values() if state)
        return next(counts, torch.zeros((), device=self.accelerator.device)).clone()

    @torch.no_grad()
    def _average(self, step: int, taken: Tensor | None) -> None:
        """Move the averaged weights towards the new ones, unless the step was skipped.

        `taken` is 1 or 0, or None if steps are never skipped.
        """
        weights: list[Tensor] = list(self.network.parameters())
        for decay, network in self.averages.items():
            averaged: list[Tensor] = list(network.parameters())
            move = 1 - ema_decay(decay, step)
            if taken is None:
                torch._foreach_lerp_(averaged, weights, move)
            else:
                torch._foreach_lerp_(averaged, weights, [move * taken] * len(weights))


def local_batch_size(train: Train, processes: int) -> int:
    """Return how many samples of a batch each process gets.

    Raises `InputError` if the batch cannot be split evenly.
    """
    divisor = processes * train.gradient_accumulation
    if train.batch_size % divisor:
        raise InputError(
            f"train.batch_size: {train.batch_size}: expected a multiple of {divisor} "
            f"({processes} processes x train.gradient_accumulation: {train.gradient_accumulation})"
        )
    return train.batch_size // processes
