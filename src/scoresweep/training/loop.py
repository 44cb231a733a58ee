"""The training loop: Accelerate for devices and precision, everything else a function of the step.

Data order, noise, levels and learning rate are functions of (seed, step, position in the global
batch). A run that was killed goes on from its checkpoint to bit-identical weights, and the number
of processes changes results by the order of float sums alone.
"""

from __future__ import annotations

import copy
import functools
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from scoresweep.console import say
from scoresweep.data.loader import Batches
from scoresweep.errors import InputError, RunError
from scoresweep.files import remove
from scoresweep.jobstate import JobState
from scoresweep.networks.base import ScoreNetwork
from scoresweep.seeds import derive_seed
from scoresweep.study.schema import Train
from scoresweep.training.checkpoint import (
    Checkpoint,
    load_optimizer,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from scoresweep.training.curves import Accumulator, Curves
from scoresweep.training.draws import Draws
from scoresweep.training.schedule import ema_decay, learning_rate
from scoresweep.training.tracking import Tracker
from scoresweep.training.weights import build_network

__all__ = ["Folders", "StoppedError", "Trainer"]

SECONDS_BETWEEN_STATES = 2.0


class StoppedError(RunError):
    """Training was asked to stop; it saved and can go on."""


@dataclass(frozen=True)
class Folders:
    """Where a run keeps its checkpoints, its TensorBoard history and its state."""

    checkpoints: Path
    tensorboard: Path
    progress: Path


class Trainer:
    """Trains one network.

    `run` is the whole of it; the other methods are its parts in the order in which they are needed.
    """

    def __init__(
        self,
        train: Train,
        loader: Batches,
        data: str,
        sigmas: Tensor,
        accelerator: Accelerator,
        folders: Folders,
        picture: Callable[[ScoreNetwork], Tensor] | None = None,
    ) -> None:
        """Build everything from the seed.

        `loader` gives the batches of the training set, whose SHA-256 is `data`. `sigmas` is the
        ladder, shape (L,). `picture` draws a few samples, shape (N, C, H, W), from a network, for
        TensorBoard.
        """
        self.train = train
        self.accelerator = accelerator
        self.folders = folders
        self.picture = picture
        self.share = _share(train, accelerator)
        device = accelerator.device
        torch.manual_seed(derive_seed(train.seed, "weights"))
        self.network = build_network(train.network, loader.shape, sigmas).to(device)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.objective = functools.partial(train.objective.load(), **train.objective.arguments())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=train.optimizer.learning_rate,
            betas=(train.optimizer.beta1, train.optimizer.beta2),
            eps=train.optimizer.eps,
            weight_decay=train.optimizer.weight_decay,
            fused=True,
        )
        self.sigmas = sigmas.to(device, torch.float32)
        self.loader = loader
        self.data = data
        self.draws = Draws(train.seed, loader.shape, len(sigmas), device)
        self.accumulator = Accumulator(len(sigmas), device)
        self.step_losses = torch.zeros(train.log.scalars, device=device)
        self.curves = Curves(sigmas.tolist())
        self.step = 0
        self.seconds = 0.0
        self.restarts = 0
        self.stop_requested = False

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Train to the last step, going on from the newest whole checkpoint."""
        self._resume()
        self.model, self.adam = self.accelerator.prepare(self.network, self.optimizer)
        self.tracker = Tracker(self.folders.tensorboard, self.step) if self._leads else None
        self._watch_signals()
        self._start_clocks()
        while self.step < self.train.steps:
            gradient_norm = self._update()
            self.step += 1
            if self.step % self.train.log.scalars == 0 or self.step == self.train.steps:
                self._log(gradient_norm)
            if self._should_draw():
                self._draw()
            if self._should_save():
                self._save()
            self._stop_if_asked()
        if self.tracker:
            self.tracker.close()

    @property
    def _leads(self) -> bool:
        return bool(self.accelerator.is_main_process)

    # ── one step ────────────────────────────────────────────────────────────────────────────────

    def _update(self) -> Tensor | None:
        """Take one optimiser step; return the gradient's norm where a point is due."""
        rate = learning_rate(self.train.optimizer, self.step, self.train.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = self.train.gradient_accumulation
        losses = self.step_losses[self.step % self.train.log.scalars].zero_()
        for part in range(parts):
            last = part == parts - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self._loss(part) / parts
                self.accelerator.backward(loss)
            losses += loss.detach()
        norm = self._gradient_norm()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        if not self.accelerator.optimizer_step_was_skipped:
            self._average()
        return norm

    def _loss(self, part: int) -> Tensor:
        """Return the mean loss of one part of this process's share of the batch."""
        size = self.share // self.train.gradient_accumulation
        start = self.accelerator.process_index * self.share + part * size
        x = self.loader.batch(self.step, start, start + size)
        levels, z = self.draws(self.step, start, start + size)
        losses: Tensor = self.objective(self.model, x, self.sigmas[levels], z)
        self.accumulator.add(levels, losses)
        return losses.mean()

    def _gradient_norm(self) -> Tensor | None:
        """Clip the gradient where asked for; return its norm where it is needed."""
        if self.train.gradient_clip is not None:
            norm: Tensor = self.accelerator.clip_grad_norm_(
                self.network.parameters(), self.train.gradient_clip
            )
            return norm
        if (self.step + 1) % self.train.log.scalars and self.step + 1 != self.train.steps:
            return None
        self.accelerator.unscale_gradients()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return get_total_norm(gradients)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the new ones."""
        update = get_ema_multi_avg_fn(ema_decay(self.train.ema, self.step))  # type: ignore[no-untyped-call]
        update(list(self.averaged.parameters()), list(self.network.parameters()), None)

    # ── what is seen of it ──────────────────────────────────────────────────────────────────────

    def _start_clocks(self) -> None:
        self.started = self.point_time = self.saved_time = time.monotonic()
        self.started_seconds = self.seconds
        self.point_step = self.step
        self.state_time = 0.0

    def _log(self, gradient_norm: Tensor | None) -> None:
        """Add a point to the curves, the first time since the last one that the device is read."""
        now = time.monotonic()
        sums = self.accelerator.reduce(self.accumulator.sums, reduction="sum")
        self._check_finite(sums)
        samples = (self.step - self.point_step) * self.train.batch_size
        self.curves.append(
            self.step,
            sums,
            gradient_norm=float(gradient_norm) if gradient_norm is not None else float("nan"),
            learning_rate=learning_rate(self.train.optimizer, self.step - 1, self.train.steps),
            images_per_second=samples / max(now - self.point_time, 1e-9),
        )
        self.accumulator.reset()
        self.point_time, self.point_step = now, self.step
        self.seconds = self.started_seconds + now - self.started
        if self.tracker:
            latest = {name: values[-1] for name, values in self.curves.scalars.items()}
            self.tracker.point(self.step, latest, self.curves.level_loss[-1])
            self._write_state(now)

    def _write_state(self, now: float) -> None:
        """Tell `scoresweep status` how far the run is, every few seconds."""
        if now - self.state_time >= SECONDS_BETWEEN_STATES:
            self.state_time = now
            self.job_state("running").write(self.folders.progress)

    def job_state(self, state: str, message: str = "") -> JobState:
        """Return the state of the run as `scoresweep status` reads it."""
        speed = self.curves.scalars["images_per_second"]
        return JobState(
            state=state,
            step=self.step,
            steps=self.train.steps,
            images_per_second=speed[-1] if speed else 0.0,
            seconds=self.seconds,
            message=message,
            restarts=self.restarts,
        )

    def _check_finite(self, sums: Tensor) -> None:
        """Raise `RunError` naming the step and the levels where the loss was not finite."""
        if bool(torch.isfinite(sums).all()):
            return
        levels = (~torch.isfinite(sums[0])).nonzero().flatten().add(1).tolist()
        size = self.train.log.scalars
        first = (self.step - 1) // size * size
        wrong = (~torch.isfinite(self.step_losses[: self.step - first])).nonzero().flatten()
        step = first + int(wrong[0]) + 1 if len(wrong) else self.step
        raise RunError(
            f"the loss is not finite from step {step} on, at level "
            f"{', '.join(map(str, levels))} (sigma "
            f"{', '.join(f'{self.curves.sigmas[level - 1]:.4g}' for level in levels)}). The last "
            f"checkpoint is kept in {self.folders.checkpoints}. Try a smaller "
            f"train.optimizer.learning_rate, train.gradient_clip: 1.0, or precision: no."
        )

    def _check_weights(self) -> None:
        """Raise `RunError` where a gradient that was not finite has spoilt the weights."""
        if not bool(torch.isfinite(get_total_norm(self.network.parameters()))):
            raise RunError(
                f"the weights are not finite after step {self.step}, whose losses are. The last "
                f"checkpoint is kept in {self.folders.checkpoints}. Try train.gradient_clip: 1.0, "
                f"a smaller train.optimizer.learning_rate, or precision: no."
            )

    def _should_draw(self) -> bool:
        log = self.train.log
        due = self.step % log.images == 0 or self.step == self.train.steps
        return bool(self.picture and self.tracker and log.image_count and due)

    def _draw(self) -> None:
        assert self.picture is not None
        assert self.tracker is not None
        self.tracker.image(self.step, self.picture(self.averaged))

    # ── stop and go on ──────────────────────────────────────────────────────────────────────────

    def _should_save(self) -> bool:
        """Every process must give the same answer: the clock that counts is the leader's."""
        every = self.train.checkpoint
        if self.step % every.steps == 0 or self.step == self.train.steps:
            return True
        if self.step % self.train.log.scalars:
            return False
        return self._agree(time.monotonic() - self.saved_time >= 60 * every.minutes)

    def _agree(self, flag: bool) -> bool:
        """Return whether any process says yes."""
        if self.accelerator.num_processes == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes, reduction="sum") > 0)

    def _save(self) -> None:
        """Write a checkpoint; only finite ones are kept."""
        sums = self.accelerator.reduce(self.accumulator.sums, reduction="sum")
        self._check_finite(sums)
        self._check_weights()
        self.saved_time = time.monotonic()
        if not self._leads:
            return
        self.seconds = self.started_seconds + self.saved_time - self.started
        scaler = self.accelerator.scaler
        checkpoint = Checkpoint(
            self.step,
            {
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": optimizer_tensors(self.network, self.optimizer),
                "curves": self.curves.state() | {"sums": sums},
            },
            {
                "data": self.data,
                "processes": self.accelerator.num_processes,
                "seconds": self.seconds,
                "restarts": self.restarts,
                "scaler": scaler.state_dict() if scaler else {},
            },
        )
        assert self.tracker is not None
        self.tracker.writer.flush()
        save_checkpoint(self.folders.checkpoints, checkpoint, self.train.checkpoint.keep)

    def _resume(self) -> None:
        """Take over the newest whole checkpoint, if there is one."""
        checkpoint, unusable = newest_checkpoint(self.folders.checkpoints, self.data)
        self.accelerator.wait_for_everyone()  # all have read before any is removed
        if self._leads:
            for path, problem in unusable.items():
                say(f"checkpoint {path} cannot be used, and is removed: {problem}")
                remove(path)
        if checkpoint is None:
            return
        self.step = checkpoint.step
        self.network.load_state_dict(checkpoint.tensors["network"])
        self.averaged.load_state_dict(checkpoint.tensors["averaged"])
        load_optimizer(self.network, self.optimizer, checkpoint.tensors["optimizer"])
        if self.accelerator.scaler and checkpoint.values["scaler"]:
            self.accelerator.scaler.load_state_dict(checkpoint.values["scaler"])
        self.curves.load_state(checkpoint.tensors["curves"])
        if self._leads:
            self.accumulator.sums.copy_(checkpoint.tensors["curves"]["sums"])
            say(f"going on from step {self.step} of {self.train.steps}")
        self.seconds = checkpoint.values["seconds"]
        self.restarts = checkpoint.values["restarts"] + 1

    def _watch_signals(self) -> None:
        """On SIGTERM note the wish; all processes grant it at once, at the end of a step."""

        def note(_signal: int, _frame: FrameType | None) -> None:
            self.stop_requested = True

        signal.signal(signal.SIGTERM, note)

    def _stop_if_asked(self) -> None:
        """Save and stop; processes agree where a point of the curves is due."""
        alone = self.accelerator.num_processes == 1
        if not alone and self.step % self.train.log.scalars:
            return
        if self._agree(self.stop_requested) and self.step < self.train.steps:
            self._save()
            raise StoppedError(f"stopped on request at step {self.step}, which was saved")


def _share(train: Train, accelerator: Accelerator) -> int:
    """Return how many samples of a batch one process gets, if the batch can be shared out."""
    parts = accelerator.num_processes * train.gradient_accumulation
    if train.batch_size % parts:
        raise InputError(
            f"train.batch_size: {train.batch_size}: expected a multiple of {parts} "
            f"({accelerator.num_processes} processes x {train.gradient_accumulation} parts of "
            f"gradient_accumulation)"
        )
    return int(train.batch_size // accelerator.num_processes)
