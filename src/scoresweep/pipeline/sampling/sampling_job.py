"""The work of one sampling job: a setting applied to a run, and where it is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.sampling.resolve import ResolvedSampling, resolve_sampling
from scoresweep.pipeline.study import Run, Setting, StudyPaths

__all__ = ["ONE_CORE", "Devices", "SamplingJob"]


@dataclass(frozen=True)
class Devices:
    """Where chunks are drawn: in processes on CPU cores or GPUs."""

    processes: int = 1
    threads: int = 1
    """CPU threads of each process."""
    gpus: int = 0
    """0: CPU."""

    @property
    def count(self) -> int:
        """Number of GPUs, or else of CPU cores, in use."""
        return min(self.gpus, self.processes) if self.gpus else self.processes * self.threads

    def of_process(self, process: int) -> str:
        """Return the device of a process; GPUs are assigned round-robin."""
        return f"cuda:{process % self.gpus}" if self.gpus else "cpu"


ONE_CORE = Devices()


@dataclass(frozen=True)
class SamplingJob:
    """What every process of a sampling job needs to draw chunks."""

    run: Run
    setting: Setting
    paths: StudyPaths
    devices: Devices
    weights_sha256: str
    data_sha256: str | None = None
    this_code: bool = False
    """Whether to redraw samples that other code drew."""
    counts: tuple[int, ...] = ()
    """The numbers of samples that the study asks of the store."""
    weights: str = ""
    """Name of the weights that draw the samples; "" for the default ones."""

    def __str__(self) -> str:
        return f"run {self.run.id}, setting {self.setting.id}"

    @property
    def chunk_folder(self) -> Path:
        """Folder of the chunk files."""
        return self.paths.chunk_folder(self.run.id, self.setting.store)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return math.ceil(self.setting.sample.count / self.setting.sample.chunk)

    @property
    def seed(self) -> int:
        """The setting's seed, or the run's, so that repeats over the run's seed are independent."""
        seed = self.setting.sample.seed
        return self.run.train.seed if seed is None else seed

    def resolve(self, network: ScoreNetwork) -> ResolvedSampling:
        """Resolve the setting for the noise ladder of the run's `network`."""
        return resolve_sampling(self.run, self.setting, self.paths, network)
