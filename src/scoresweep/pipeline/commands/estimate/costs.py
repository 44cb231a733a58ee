"""Time of a training step and of a score evaluation: from earlier jobs, else from a probe."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.commands.estimate.levels import num_levels, sample_shape
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results.best_step import has_best_step
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.methods.noise import NoiseLadder
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredSampler
from scoresweep.pipeline.system.job_state import JobState

if TYPE_CHECKING:
    from scoresweep.networks.score_network import ScoreNetwork

__all__ = [
    "Costs",
    "costs_of_jobs",
    "network_key",
    "probe_unknown",
    "sample_key",
    "samples_of_steps",
    "train_key",
]

MAX_PROBES = 8
"""Number of networks to probe; the others are assumed to cost as much as these on average."""

COUNTING_SECONDS = 2.0
"""Time for trial runs of plugins' samplers."""

Key = tuple[str, ...]
"""Options that determine a cost."""


@dataclass
class Costs:
    """What is known about the cost of networks."""

    step_seconds: dict[Key, float] = field(default_factory=dict)
    """Seconds of a training step, by `train_key`."""
    sample_seconds: dict[Key, float] = field(default_factory=dict)
    """Seconds of one score evaluation of one sample, by `sample_key`."""
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
    return (*network_key(run), setting.sample.precision)


def costs_of_jobs(plan: Plan, jobs: Sequence[Job]) -> Costs:
    """Return the costs of jobs that are finished or running."""
    costs, remaining = Costs(), iter(jobs)
    for run in plan.runs:
        weights = plan.paths.weights(run.id)
        if weights.exists():
            costs.parameters[network_key(run)] = weights.stat().st_size // 4
        progress = next(remaining).progress
        if progress and progress.step and progress.seconds:
            costs.step_seconds.setdefault(train_key(run), progress.seconds / progress.step)
    runs, settings = {run.id: run for run in plan.runs}, plan.settings_by_id()
    counts = samples_by_store(plan)
    for job in remaining:
        assert job.setting is not None  # jobs of settings follow those of runs
        run, setting = runs[job.run], settings[job.setting]
        key = sample_key(run, setting)
        if key in costs.sample_seconds or (job.state == "waiting" and not job.held):
            continue
        progress = JobState.read(plan.paths.samples_progress(run.id, setting.store))
        evaluations = costs.evaluations_per_sample(plan, run, setting)
        if progress and progress.step and progress.seconds and evaluations:
            drawn = min(job.held or counts[setting.store], progress.step * setting.sample.chunk)
            costs.sample_seconds[key] = progress.seconds / (drawn * evaluations)
    return costs


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


def probe_unknown(plan: Plan, costs: Costs) -> None:
    """Probe networks of unknown cost; beyond `MAX_PROBES`, fill in the mean of known costs."""
    from scoresweep.pipeline.commands.estimate.probe import probe

    unknown: dict[tuple[Key, Key], tuple[Run, Setting]] = {}
    for run, setting in _pairs(plan):
        if not run.train.network.is_trained:
            costs.step_seconds[train_key(run)] = 0.0
        keys = train_key(run), sample_key(run, setting)
        if keys[0] not in costs.step_seconds or keys[1] not in costs.sample_seconds:
            unknown.setdefault(keys, (run, setting))
    for (train, sample), (run, setting) in list(unknown.items())[:MAX_PROBES]:
        shape, oracle = sample_shape(plan, run.dataset), _oracle(plan, run)
        if shape is None or not (run.train.network.is_trained or oracle):
            continue
        try:
            times = probe(run.train, setting.sample, shape, oracle)
        except RunError as error:  # of a plugin
            raise InputError(str(error)) from None
        costs.step_seconds.setdefault(train, times.step_seconds)
        costs.sample_seconds.setdefault(sample, times.sample_seconds)
        costs.parameters[network_key(run)] = times.parameters
        costs.probes += 1
    if costs.probes == MAX_PROBES:
        for train, sample in unknown:
            costs.step_seconds.setdefault(train, statistics.mean(costs.step_seconds.values()))
            costs.sample_seconds.setdefault(sample, statistics.mean(costs.sample_seconds.values()))


def _pairs(plan: Plan) -> Iterator[tuple[Run, Setting]]:
    return ((run, setting) for run in plan.runs for setting in plan.settings)


def _oracle(plan: Plan, run: Run) -> ScoreNetwork | None:
    """Return the exact score of a run that uses one; None before its data are staged."""
    if run.train.network.is_trained or not plan.paths.dataset_manifest(run.dataset.id).exists():
        return None
    from scoresweep.pipeline.training.network_setup import make_oracle

    return make_oracle(run, plan.paths)
