"""What a training reports: curves, TensorBoard, intermediate weights, and its state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.study.models import Train
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training.curves import Curves
from scoresweep.pipeline.training.schedule import learning_rate
from scoresweep.pipeline.training.tensorboard import Tracker
from scoresweep.pipeline.training.weights import history_folder, save_network

__all__ = ["RunFolders", "RunLog"]

STATE_SECONDS = 2.0
"""Minimum time between two writes of the state file."""


@dataclass(frozen=True)
class RunFolders:
    """Folders of a run's checkpoints, TensorBoard files and weights, and its state file."""

    checkpoints: Path
    tensorboard: Path
    history: Path
    kept: Path
    progress: Path


class RunLog:
    """The curves of a run, in every process, and its files, in the main process."""

    def __init__(
        self,
        train: Train,
        sigmas: Tensor,
        folders: RunFolders,
        is_main: bool,
        check_owner: Callable[[], None],
    ) -> None:
        self.train = train
        self.folders = folders
        self.is_main = is_main
        self.check_owner = check_owner
        self.curves = Curves(sigmas.tolist())
        self.tracker: Tracker | None = None
        self.restarts = 0
        self.earlier_seconds = 0.0
        self.started: float | None = None

    def start(self, step: int) -> None:
        """Start the timers and open the TensorBoard files, after `step` steps."""
        self.step = step
        """Step of the last point."""
        self.started = self.point_time = time.monotonic()
        self.state_time = 0.0
        if self.is_main:
            self.tracker = Tracker(self.folders.tensorboard, step)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, earlier starts included."""
        elapsed = 0.0 if self.started is None else time.monotonic() - self.started
        return self.earlier_seconds + elapsed

    def add_point(self, step: int, loss_sums: Tensor, gradient_norm: Tensor | None) -> None:
        """Add a point to the curves from the loss sums and counts, (2, L), since the last one."""
        now, samples = time.monotonic(), (step - self.step) * self.train.batch_size
        self.curves.append(
            step,
            loss_sums,
            gradient_norm=float("nan") if gradient_norm is None else float(gradient_norm),
            learning_rate=learning_rate(self.train.optimizer, step - 1, self.train.steps),
            images_per_second=samples / max(now - self.point_time, 1e-9),
        )
        self.point_time, self.step = now, step
        if self.tracker:
            latest = {name: values[-1] for name, values in self.curves.scalars.items()}
            self.tracker.point(step, latest, self.curves.level_loss[-1])
            self._write_state(now)

    def _write_state(self, now: float) -> None:
        if now - self.state_time >= STATE_SECONDS:
            self.state_time = now
            self.check_owner()
            self.job_state("running", self.step).write(self.folders.progress)

    def job_state(self, state: str, step: int) -> JobState:
        """Return the state of the run as `scoresweep status` reads it."""
        speed = self.curves.scalars["images_per_second"]
        return JobState(
            state=state,
            step=step,
            steps=self.train.steps,
            images_per_second=speed[-1] if speed else 0.0,
            seconds=self.seconds,
            restarts=self.restarts,
        )

    def save_history(self, step: int, averaged: ScoreNetwork) -> None:
        """Save a copy of the averaged weights if it is due."""
        every = self.train.log.weights
        if every and self.is_main and (step % every == 0 or step == self.train.steps):
            folder = history_folder(self.folders.history, step)
            save_network(folder / "model.safetensors", averaged, self.train.network)
