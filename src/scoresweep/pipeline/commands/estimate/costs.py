"""What the work of a study's jobs costs: from earlier jobs, else from a probe."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.commands.estimate.levels import num_levels, sample_shape
from scoresweep.pipeline.results.best_step import has_best_step
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.noise import NoiseLadder
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredSampler
from scoresweep.pipeline.system.job_state import JobState

__all__ = [
    "Costs",
    "Measuring",
    "costs_of_jobs",
    "image_key",
    "measuring_key",
    "network_key",
    "sample_key",
    "samples_by_store",
    "samples_of_steps",
    "train_key",
]

COUNTING_SECONDS = 2.0
"""Time for trial runs of plugins' samplers."""

Key = tuple[str, ...]
"""Options that determine a cost."""


class Measuring(NamedTuple):
    """Cost of measuring a set of samples."""

    seconds: float
    """Seconds of the features of the samples, and of all metrics."""
    first_seconds: float
    """Further seconds of the first set that a process measures."""


@dataclass
class Costs:
    """What is known about the cost of networks."""

    step_seconds: dict[Key, float] = field(default_factory=dict)
    """Seconds of a training step, by `train_key`."""
    sample_seconds: dict[Key, float] = field(default_factory=dict)
    """Seconds of one score evaluation of one sample in a full chunk, by `sample_key`."""
    image_seconds: dict[Key, float] = field(default_factory=dict)
    """Seconds of one score evaluation of the samples that training shows, by `image_key`."""
    exact_seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of the exact score at one point, by dataset."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of staging, by dataset; of those that were staged to time it."""
    reference_seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    """Seconds of the features of real samples, by dataset and extractor."""
    measuring: dict[tuple[str, int], Measuring] = field(default_factory=dict)
    """Cost of measuring a set of samples, by `measuring_key`."""
    start_seconds: float = 0.0
    """Seconds that a process takes to start; 0: unknown."""
    slowdown: float = 1.0
    """Factor by which other load on the machine made the timed work take longer."""
    parameters: dict[Key, int] = field(default_factory=dict)
    """Number of parameters, by `network_key`."""
    levels: dict[Key, int | None] = field(default_factory=dict)
    """Number of levels of a ladder, by dataset and ladder."""
    probes: int = 0
    """Number of networks that were probed."""
    counts: dict[Key, int] = field(default_factory=dict)
    """Counted score evaluations of samplers of plugins, by options, ladder, shape and task."""
    counting: float = 0.0
    """Seconds that counting took."""

    def add(self, found: Costs) -> None:
        """Add what another one knows and this one does not."""
        for each in dataclasses.fields(Costs):
            mine, other = getattr(self, each.name), getattr(found, each.name)
            if isinstance(mine, dict):
                mine |= {key: value for key, value in other.items() if mine.get(key) is None}
        self.start_seconds = self.start_seconds or found.start_seconds
        self.slowdown = found.slowdown
        self.probes += found.probes

    def evaluations_per_sample(self, plan: Plan, run: Run, setting: Setting) -> int | None:
        """Return the number of score evaluations; None if the ladder is not known yet."""
        noise = setting.sample.noise or run.train.noise
        key = (run.dataset.id, noise.model_dump_json())
        if key not in self.levels:
            self.levels[key] = num_levels(plan, noise, run.dataset)
        levels = self.levels[key]
        if levels is None:
            return None
        count = setting.sample.sampler.num_score_evaluations(levels)
        return self._count(plan, run, setting, _levels(noise, levels)) if count is None else count

    def _count(self, plan: Plan, run: Run, setting: Setting, sigmas: Sequence[float]) -> int | None:
        """Count the score evaluations of a plugin's sampler in a trial run.

        Trial runs take seconds at most: further samplers get the mean of those before.
        """
        sampler, shape = setting.sample.sampler, sample_shape(plan, run.dataset)
        assert isinstance(sampler, DeclaredSampler)
        task = setting.sample.task
        key = (sampler.model_dump_json(), str(sigmas), str(shape), str(task))
        if key not in self.counts and shape is not None:
            if self.counts and self.counting > COUNTING_SECONDS:
                return round(statistics.mean(self.counts.values()))
            import torch

            from scoresweep.pipeline.sampling.plugin_sampler import count_score_evaluations

            started = time.monotonic()
            ladder = torch.tensor(sigmas, dtype=torch.float64)
            self.counts[key] = count_score_evaluations(sampler, shape, ladder, task)
            self.counting += time.monotonic() - started
        return self.counts.get(key)


def _levels(noise: NoiseLadder, count: int) -> list[float]:
    """Return the levels of a ladder; if they depend on data, `count` levels from 1 to 0.01."""
    known = noise.known_sigmas()
    if len(known) == count and all(map(math.isfinite, known)):
        return known
    return [10 ** (-2 * i / max(count - 1, 1)) for i in range(count)]


def network_key(run: Run) -> Key:
    """Return what determines the size of a network."""
    return (run.dataset.id, run.train.network.model_dump_json())


def train_key(run: Run) -> Key:
    """Return what determines the cost of a training step."""
    train = run.train
    return (
        *network_key(run),
        train.objective.model_dump_json(),
        *(train.precision, str(train.batch_size), str(train.gradient_accumulation)),
    )


def sample_key(run: Run, setting: Setting) -> Key:
    """Return what determines the cost of a score evaluation."""
    sample = setting.sample
    return (*network_key(run), sample.precision, str(sample.chunk), sample.sampler.name)


def image_key(run: Run) -> Key:
    """Return what determines the cost of the samples that training shows."""
    return (*network_key(run), run.train.precision, str(run.train.log.image_count))


def measuring_key(dataset: Dataset, count: int) -> tuple[str, int]:
    """Return what determines the cost of measuring `count` samples."""
    return dataset.id, count


def costs_of_jobs(plan: Plan, jobs: Sequence[Job]) -> Costs:
    """Return the costs of jobs that are finished or running."""
    costs, remaining = Costs(), iter(jobs)
    for run in plan.runs:
        if not run.train.network.is_trained:
            costs.step_seconds[train_key(run)] = 0.0
        weights = plan.paths.weights(run.id)
        if weights.exists():
            costs.parameters[network_key(run)] = weights.stat().st_size // 4
        progress = next(remaining).progress
        if progress and progress.step and progress.seconds:
            costs.step_seconds.setdefault(train_key(run), progress.seconds / progress.step)
    runs, settings = {run.id: run for run in plan.runs}, plan.settings_by_id()
    for job in remaining:
        assert job.setting is not None  # jobs of settings follow those of runs
        run, setting = runs[job.run], settings[job.setting]
        key = sample_key(run, setting)
        if job.state == "done":
            _add_measuring(plan, run, setting, costs)
        if key in costs.sample_seconds or (job.state == "waiting" and not job.held):
            continue
        progress = JobState.read(plan.paths.samples_progress(run.id, setting.store))
        evaluations = costs.evaluations_per_sample(plan, run, setting)
        if progress and progress.step and progress.seconds and evaluations:
            drawn = progress.step * setting.sample.chunk  # the last chunk is drawn in full too
            costs.sample_seconds[key] = progress.seconds / (drawn * evaluations)
    return costs


def _add_measuring(plan: Plan, run: Run, setting: Setting, costs: Costs) -> None:
    """Add what measuring a setting took, if no other one of as many samples is known."""
    key = measuring_key(run.dataset, setting.sample.count)
    if key in costs.measuring:
        return
    import h5py

    with contextlib.suppress(OSError), h5py.File(plan.paths.metrics(run.id, setting.id)) as file:
        if "seconds" in file.attrs:
            costs.measuring[key] = Measuring(file.attrs["seconds"].item(), 0.0)


def samples_by_store(plan: Plan) -> dict[str, int]:
    """Return the number of samples that the study asks of each store; settings may share one."""
    counts: dict[str, int] = {}
    for setting in plan.settings:
        counts[setting.store] = max(counts.get(setting.store, 0), setting.sample.count)
    return counts


def samples_of_steps(run: Run, setting: Setting) -> int:
    """Return how many samples choose the best training step of a setting of a run."""
    best = setting.sample.best_step
    is_used = best is not None and has_best_step(run, setting)
    return best.count * len(run.train.kept_steps) if best and is_used else 0
