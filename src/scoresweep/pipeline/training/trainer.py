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
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import get_total_norm

from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.data.memory_loader import BatchSource
from scoresweep.pipeline.errors import InputError, RunError, StoppedError
from scoresweep.pipeline.results.code_version import MADE_BY, current_code, join_codes, parse_code
from scoresweep.pipeline.study.schema import Train
from scoresweep.pipeline.system.atomic_files import remove
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training.checkpoint import (
    Checkpoint,
    checkpoint_path,
    load_checkpoint,
    load_optimizer,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from scoresweep.pipeline.training.compile import compile_network
from scoresweep.pipeline.training.curves import Curves, LossAccumulator, first_nonfinite
from scoresweep.pipeline.training.schedule import ema_decay, learning_rate
from scoresweep.pipeline.training.step_noise import StepNoise
from scoresweep.pipeline.training.tensorboard import Tracker
from scoresweep.pipeline.training.weights import build_network, history_folder, save_network
from scoresweep.score import Score
from scoresweep.seeds import derive_seed

__all__ = ["RunFolders", "Trainer"]

SECONDS_BETWEEN_STATES = 2.0
POLL_SECONDS = 5.0
"""About as often several processes agree on whether to save or stop."""


@dataclass(frozen=True)
class StopRequests:
    """What all processes agreed on."""

    save: bool = False
    stop: bool = False
    requeue: bool = False


@dataclass(frozen=True)
class RunFolders:
    """Where a run keeps its checkpoints, its TensorBoard history, its weights and its state."""

    checkpoints: Path
    tensorboard: Path
    history: Path
    progress: Path


class Trainer:
    """Trains one network.

    `run` is the whole of it; the other methods are its parts in the order in which they are needed.
    """

    def __init__(
        self,
        train: Train,
        loader: BatchSource,
        data: str,
        sigmas: Tensor,
        accelerator: Accelerator,
        folders: RunFolders,
        picture: Callable[[ScoreNetwork], Tensor] | None = None,
        signals: AbstractSet[int] = frozenset(),
        check_owner: Callable[[], None] = lambda: None,
    ) -> None:
        """Build everything from the seed.

        `loader` gives the batches of the training set, whose SHA-256 is `data`. `sigmas` is the
        ladder, shape (L,). `picture` draws a few samples, shape (N, C, H, W), from a network, for
        TensorBoard. `signals` fills with the signals that come (`note_signals`). `check_owner`
        raises where the run belongs to another job by now; it is asked before files are written.
        """
        self.train = train
        self.accelerator = accelerator
        self.folders = folders
        self.picture = picture
        self.signals = signals
        self.check_owner = check_owner
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
        self.draws = StepNoise(
            train.seed,
            loader.shape,
            len(sigmas),
            device,
            train.objective.projections,
            train.objective.distribution,
        )
        self.accumulator = LossAccumulator(train.log.scalars, len(sigmas), device)
        self.curves = Curves(sigmas.tolist())
        self.step = self.saved_step = 0
        self.seconds = 0.0
        self.restarts = 0
        self.made_by = current_code("networks")
        """The code of all starts so far that this training goes on from."""

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Train to the last step, going on from the newest whole checkpoint."""
        self._resume()
        if self.train.compile:
            self._compile()
        self.model, self.adam = self.accelerator.prepare(self.network, self.optimizer)
        self.tracker = Tracker(self.folders.tensorboard, self.step) if self._is_main else None
        self._start_timers()
        if self.step == 0:
            self._save_history()
        while self.step < self.train.steps:
            self._act_on_requests(self._poll_requests())
            gradient_norm = self._update()
            self.step += 1
            if self.step % self.train.log.scalars == 0 or self.step == self.train.steps:
                self._log(gradient_norm)
            if self._should_draw():
                self._log_images()
            self._save_history()
            if self.step % self.train.checkpoint.steps == 0 or self.step == self.train.steps:
                self._save()
        if self.tracker:
            self.tracker.close()

    def _compile(self) -> None:
        """Compile the network; the step that is tried leaves nothing behind."""
        size = self.share // self.train.gradient_accumulation

        def attempt() -> None:
            with self.accelerator.autocast():
                _, losses = self.losses(self.network, 0, size)
            losses.mean().backward()  # type: ignore[no-untyped-call]

        compile_network(self.network, attempt)
        self.network.zero_grad(set_to_none=True)

    @property
    def _is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    # ── one step ────────────────────────────────────────────────────────────────────────────────

    def _update(self) -> Tensor | None:
        """Take one optimiser step; return the gradient's norm where a point is due."""
        rate = learning_rate(self.train.optimizer, self.step, self.train.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = self.train.gradient_accumulation
        self.accumulator.begin(self.step)
        for part in range(parts):
            last = part == parts - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                self.accelerator.backward(self._loss(part) / parts)
        norm = self._gradient_norm()
        before = self._steps_taken() if self.accelerator.scaler else None
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self._average(None if before is None else self._steps_taken() - before)
        return norm

    def _loss(self, part: int) -> Tensor:
        """Return the mean loss of one part of this process's share of the batch."""
        size = self.share // self.train.gradient_accumulation
        start = self.accelerator.process_index * self.share + part * size
        levels, losses = self.losses(self.model, start, size)
        self.accumulator.add(self.step, levels, losses)
        return losses.mean()

    def losses(self, model: Score, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Return levels and losses, (size,), of the part of the step's batch from `start` on."""
        x = self.loader.batch(self.step, start, start + size)
        levels, z, v = self.draws(self.step, start, start + size)
        projected = {"v": v} if len(v) else {}
        return levels, self.objective(model, x, self.sigmas[levels], z, **projected)

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

    def _steps_taken(self) -> Tensor:
        """Return Adam's own count of steps, which one that fp16's scaler skips does not raise.

        It stays on the device. Accelerate's `optimizer_step_was_skipped` is always False for the
        fused optimiser, which skips inside its kernel.
        """
        counts = (state["step"] for state in self.optimizer.state.values() if state)
        return next(counts, torch.zeros((), device=self.accelerator.device)).clone()

    @torch.no_grad()
    def _average(self, taken: Tensor | None) -> None:
        """Move the averaged weights towards the new ones, unless the step was not `taken` (0)."""
        averaged: list[Tensor] = list(self.averaged.parameters())
        weights: list[Tensor] = list(self.network.parameters())
        move = 1 - ema_decay(self.train.ema, self.step)
        if taken is None:
            torch._foreach_lerp_(averaged, weights, move)
        else:
            torch._foreach_lerp_(averaged, weights, [move * taken] * len(weights))

    # ── what is seen of it ──────────────────────────────────────────────────────────────────────

    def _start_timers(self) -> None:
        self.started = self.point_time = self.saved_time = self.met_time = time.monotonic()
        self.met_step = self.meeting = self.first_step = self.step
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
            self.check_owner()
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
        losses = self.accelerator.reduce(self.accumulator.steps, reduction="sum")
        size = self.train.log.scalars
        first = (self.step - 1) // size * size
        step, levels = first_nonfinite(losses[: self.step - first])
        raise RunError(
            f"the loss is not finite from step {first + step} on, at level "
            f"{', '.join(map(str, levels))} (sigma "
            f"{', '.join(f'{self.curves.sigmas[level - 1]:.4g}' for level in levels)}). "
            f"{self._last_checkpoint()} Try a smaller train.optimizer.learning_rate, "
            f"train.gradient_clip: 1.0, or precision: no."
        )

    def _check_weights(self) -> None:
        """Raise `RunError` where a gradient that was not finite has spoilt the weights."""
        if not bool(torch.isfinite(get_total_norm(self.network.parameters()))):
            raise RunError(
                f"the weights are not finite after step {self.step}, whose losses are. "
                f"{self._last_checkpoint()} Try train.gradient_clip: 1.0, a smaller "
                f"train.optimizer.learning_rate, or precision: no."
            )

    def _last_checkpoint(self) -> str:
        """Say where the last good checkpoint is."""
        if not self.saved_step:
            return "There is no checkpoint yet."
        path = checkpoint_path(self.folders.checkpoints, self.saved_step)
        return f"The last good checkpoint is {path}."

    def _should_draw(self) -> bool:
        log = self.train.log
        due = self.step % log.images == 0 or self.step == self.train.steps
        return bool(self.picture and self.tracker and log.image_count and due)

    def _log_images(self) -> None:
        assert self.picture is not None
        assert self.tracker is not None
        with self.accelerator.autocast():
            picture = self.picture(self.averaged)
        self.tracker.image(self.step, picture)

    def _save_history(self) -> None:
        """Keep a copy of the averaged weights, where one is due."""
        every = self.train.log.weights
        if every and self._is_main and (self.step % every == 0 or self.step == self.train.steps):
            folder = history_folder(self.folders.history, self.step)
            save_network(folder / "model.safetensors", self.averaged, self.train.network)

    # ── stop and go on ──────────────────────────────────────────────────────────────────────────

    def _poll_requests(self) -> StopRequests:
        """Agree with the other processes on what to do before the next step.

        Every process must come to the same step for it: they count the steps to the next meeting
        from the leader's speed, of which each meeting tells them.
        """
        several = self.accelerator.num_processes > 1
        if several and self.step < self.meeting:
            return StopRequests()
        now = time.monotonic()
        due = now - self.saved_time >= 60 * self.train.checkpoint.minutes
        passed = self.step - self.met_step
        pace = (now - self.met_time) / passed if passed and self._is_main else 0.0
        end, again, save, seconds = self._all_reduce_sum(
            signal.SIGTERM in self.signals,
            signal.SIGUSR2 in self.signals,
            due and self._is_main,
            pace,
        )
        steps = int(POLL_SECONDS / seconds) if seconds else 1
        self.meeting = self.step + max(1, min(steps, self.train.log.scalars))
        self.met_time, self.met_step = now, self.step
        return StopRequests(save > 0, end + again > 0, again > 0)

    def _all_reduce_sum(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.accelerator.num_processes == 1:
            return list(values)
        votes = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        total: list[float] = self.accelerator.reduce(votes, reduction="sum").tolist()
        return total

    def _act_on_requests(self, wishes: StopRequests) -> None:
        """Save and stop where that was agreed on."""
        if (wishes.save or wishes.stop) and self.step > self.saved_step:
            self._save()
        if wishes.stop:
            raise StoppedError(
                f"stopped on request at step {self.step}, from which it goes on when it is started "
                f"again",
                # A start that came to no step would be repeated for ever.
                wishes.requeue and self.step > self.first_step,
            )

    def _save(self) -> None:
        """Write a checkpoint; only finite ones are kept."""
        sums = self.accelerator.reduce(self.accumulator.sums, reduction="sum")
        self._check_finite(sums)
        self._check_weights()
        self.saved_time, self.saved_step = time.monotonic(), self.step
        if not self._is_main:
            return
        self.check_owner()
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
                MADE_BY: self.made_by.record(),
                "scaler": scaler.state_dict() if scaler else {},
            },
        )
        assert self.tracker is not None
        self.tracker.flush()
        save_checkpoint(self.folders.checkpoints, checkpoint, self.train.checkpoint.keep)

    def _resume(self) -> None:
        """Take over the newest whole checkpoint, if there is one."""
        checkpoint = self._newest()
        if checkpoint is None:
            return
        self.step = self.saved_step = checkpoint.step
        self.network.load_state_dict(checkpoint.tensors["network"])
        self.averaged.load_state_dict(checkpoint.tensors["averaged"])
        load_optimizer(self.network, self.optimizer, checkpoint.tensors["optimizer"])
        if self.accelerator.scaler and checkpoint.values["scaler"]:
            self.accelerator.scaler.load_state_dict(checkpoint.values["scaler"])
        self.curves.load_state(checkpoint.tensors["curves"])
        if self._is_main:
            self.accumulator.sums.copy_(checkpoint.tensors["curves"]["sums"])
            say(f"going on from step {self.step} of {self.train.steps}")
        self.seconds = checkpoint.values["seconds"]
        self.restarts = checkpoint.values["restarts"] + 1
        self.made_by = join_codes([parse_code(checkpoint.values.get(MADE_BY)), self.made_by])

    def _newest(self) -> Checkpoint | None:
        """Return the newest usable checkpoint: the leader chooses, all processes take the same."""
        folder, checkpoint = self.folders.checkpoints, None
        if self._is_main:
            checkpoint, unusable = newest_checkpoint(folder, self.data)
            for path, problem in unusable.items():
                say(f"checkpoint {path} cannot be used, and is removed: {problem}")
                remove(path)
        (step,) = self._all_reduce_sum(checkpoint.step if checkpoint else 0)
        if step and not self._is_main:
            path = checkpoint_path(folder, int(step))
            try:
                return load_checkpoint(path)
            except ValueError as error:
                raise RunError(
                    f"{path}: one process can read this checkpoint and another cannot ({error}); "
                    f"all nodes must see the same files"
                ) from None
        return checkpoint


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
