"""The training loop.

Data order, noise, levels and learning rate are functions of (seed, step, position in the global
batch). A run that was killed resumes from its checkpoint to bit-identical weights, and the number
of processes changes only the order of floating-point sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from accelerate import Accelerator
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.memory_loader import BatchSource
from scoresweep.pipeline.errors import RunError, StoppedError
from scoresweep.pipeline.results.code_version import MADE_BY, current_code, join_codes, parse_code
from scoresweep.pipeline.study.models import Train
from scoresweep.pipeline.system.atomic_files import remove
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training.all_reduce import all_reduce_sum
from scoresweep.pipeline.training.checkpoint import (
    Checkpoint,
    checkpoint_path,
    load_checkpoint,
    load_optimizer,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from scoresweep.pipeline.training.finite_checks import check_weights, finite_loss_sums
from scoresweep.pipeline.training.kept_weights import KeptWeights
from scoresweep.pipeline.training.run_log import RunFolders, RunLog
from scoresweep.pipeline.training.stop_requests import RequestPoll, StopRequests
from scoresweep.pipeline.training.training_step import TrainingStep

__all__ = ["Trainer"]


class Trainer:
    """Trains one network: `run` does all of it."""

    def __init__(
        self,
        train: Train,
        loader: BatchSource,
        data_sha256: str,
        sigmas: Tensor,
        accelerator: Accelerator,
        folders: RunFolders,
        draw_samples: Callable[[ScoreNetwork], Tensor] | None = None,
        signals: AbstractSet[int] = frozenset(),
        check_owner: Callable[[], None] = lambda: None,
    ) -> None:
        """Build everything from the seed.

        `loader` returns batches of the training set, whose SHA-256 is `data_sha256`. `sigmas` (L,)
        is the noise ladder. `draw_samples` draws a few samples (N, C, H, W) from a network, for
        TensorBoard. `signals` fills as signals arrive (`record_signals`). `check_owner` raises
        `RunError` if the run now belongs to another job; it is called before files are written.
        """
        self.train = train
        self.data_sha256 = data_sha256
        self.accelerator = accelerator
        self.folders = folders
        self.draw_samples = draw_samples
        self.signals = signals
        self.check_owner = check_owner
        self.training_step = TrainingStep(train, loader, sigmas, accelerator)
        self.network = self.training_step.network
        self.averages = self.training_step.averages
        self.averaged = self.averages[train.decays[0]]
        self.kept = KeptWeights(train, self.averages, data_sha256, folders.kept)
        self.kept_steps = frozenset(train.kept_steps)
        self.sigmas = self.training_step.sigmas
        self.is_main = bool(accelerator.is_main_process)
        self.log = RunLog(train, sigmas, folders, self.is_main, check_owner)
        self.step = self.saved_step = self.first_step = 0
        self.made_by = current_code("networks")
        """The code of this start and of all earlier ones that it resumes."""

    def run(self) -> None:
        """Train to the last step, resuming from the newest usable checkpoint."""
        self._resume()
        if self.is_main:
            self.kept.start(self.step)
        self.training_step.prepare(self.step)
        self.log.start(self.step)
        self.first_step, self.saved_time = self.step, time.monotonic()
        poll = RequestPoll(self.accelerator, self.signals, self.train.log.scalars, self.step)
        if self.step == 0:
            self.log.save_history(0, self.averaged)
        while self.step < self.train.steps:
            save_due = time.monotonic() - self.saved_time >= 60 * self.train.checkpoint.minutes
            self._act_on_requests(poll.poll(self.step, save_due))
            gradient_norm = self.training_step.update(self.step)
            self.step += 1
            self._log(gradient_norm)
            if self.is_main and self.step in self.kept_steps:
                self.check_owner()
                self.kept.save(self.step)
            if self._is_due(self.train.checkpoint.steps):
                self._save()
        if self.log.tracker:
            self.log.tracker.close()

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.train.steps

    def _log(self, gradient_norm: Tensor | None) -> None:
        """Log whatever is due; between two points nothing is read from the device."""
        log = self.train.log
        if self._is_due(log.scalars):
            self.log.add_point(self.step, self._finite_loss_sums(), gradient_norm)
            self.training_step.accumulator.reset()
        if self.draw_samples and self.log.tracker and log.image_count and self._is_due(log.images):
            with self.accelerator.autocast():
                samples = self.draw_samples(self.averaged)
            self.log.tracker.image(self.step, samples)
        self.log.save_history(self.step, self.averaged)

    def job_state(self, state: str) -> JobState:
        """Return the state of the run as `scoresweep status` reads it."""
        return self.log.job_state(state, self.step)

    # ── stop, save and resume ───────────────────────────────────────────────────────────────────

    def _act_on_requests(self, requests: StopRequests) -> None:
        """Save and stop if the processes agreed to."""
        if (requests.save or requests.stop) and self.step > self.saved_step:
            self._save()
        if requests.stop:
            raise StoppedError(
                f"stopped on request at step {self.step}; start it again to resume from there",
                # Requeue only after progress, to avoid a restart loop.
                requests.requeue and self.step > self.first_step,
            )

    def _finite_loss_sums(self) -> Tensor:
        return finite_loss_sums(
            self.accelerator,
            self.training_step.accumulator,
            self.step,
            self.sigmas,
            self._last_checkpoint(),
        )

    def _last_checkpoint(self) -> str:
        if not self.saved_step:
            return "There is no checkpoint yet."
        path = checkpoint_path(self.folders.checkpoints, self.saved_step)
        return f"The last good checkpoint is {path}."

    def _save(self) -> None:
        """Write a checkpoint, after checking losses and weights for NaN and infinity."""
        loss_sums = self._finite_loss_sums()
        check_weights(self.network, self.step, self._last_checkpoint())
        self.saved_time, self.saved_step = time.monotonic(), self.step
        if self.log.tracker:  # in the main process
            self.check_owner()
            self.log.tracker.flush()
            checkpoint = self._checkpoint(loss_sums)
            save_checkpoint(self.folders.checkpoints, checkpoint, self.train.checkpoint.keep)

    def _checkpoint(self, loss_sums: Tensor) -> Checkpoint:
        scaler = self.accelerator.scaler
        return Checkpoint(
            self.step,
            {
                "network": self.network.state_dict(),
                **{self._file(decay): x.state_dict() for decay, x in self.averages.items()},
                "optimizer": optimizer_tensors(self.network, self.training_step.optimizer),
                "curves": self.log.curves.state() | {"sums": loss_sums},
            },
            {
                "data": self.data_sha256,
                "processes": self.accelerator.num_processes,
                "seconds": self.log.seconds,
                "restarts": self.log.restarts,
                MADE_BY: self.made_by.record(),
                "scaler": scaler.state_dict() if scaler else {},
            },
        )

    def _file(self, decay: float) -> str:
        """Return the name of the file of averaged weights in a checkpoint."""
        return "averaged" if decay == self.train.decays[0] else f"averaged-{decay}"

    def _resume(self) -> None:
        """Restore the newest usable checkpoint, if there is one."""
        checkpoint = self._newest_checkpoint()
        if checkpoint is None:
            return
        tensors, values = checkpoint.tensors, checkpoint.values
        self.step = self.saved_step = checkpoint.step
        self.network.load_state_dict(tensors["network"])
        for decay, network in self.averages.items():
            network.load_state_dict(tensors[self._file(decay)])
        load_optimizer(self.network, self.training_step.optimizer, tensors["optimizer"])
        if self.accelerator.scaler and values["scaler"]:
            self.accelerator.scaler.load_state_dict(values["scaler"])
        self.log.curves.load_state(tensors["curves"])
        self.log.earlier_seconds, self.log.restarts = values["seconds"], values["restarts"] + 1
        self.made_by = join_codes([parse_code(values.get(MADE_BY)), self.made_by])
        if self.is_main:
            self.training_step.accumulator.sums.copy_(tensors["curves"]["sums"])
            say(f"resuming from step {self.step} of {self.train.steps}")

    def _newest_checkpoint(self) -> Checkpoint | None:
        """Return the newest usable checkpoint, which the main process chooses for all."""
        folder, checkpoint = self.folders.checkpoints, None
        if self.is_main:
            checkpoint, unusable = newest_checkpoint(folder, self.data_sha256)
            for path, problem in unusable.items():
                say(f"checkpoint {path} cannot be used and is removed: {problem}")
                remove(path)
        (step,) = all_reduce_sum(self.accelerator, checkpoint.step if checkpoint else 0)
        if not step or self.is_main:
            return checkpoint
        path = checkpoint_path(folder, int(step))
        try:
            return load_checkpoint(path)
        except ValueError as error:
            raise RunError(
                f"{path}: the main process can read this checkpoint and another process cannot "
                f"({error}); all nodes must see the same files"
            ) from None
