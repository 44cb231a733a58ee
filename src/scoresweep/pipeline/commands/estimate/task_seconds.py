"""Seconds of training, drawing and measuring, without the start-up of processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.commands.estimate.costs import (
    Costs,
    Measuring,
    image_key,
    sample_key,
    train_key,
)
from scoresweep.pipeline.results.best_step import has_best_step
from scoresweep.pipeline.study import Evaluate, Plan, Run, Setting

__all__ = ["TaskSeconds", "measuring_at", "new_samples", "sum_known", "times_known"]

IMAGE_STEPS, IMAGE_STEPS_OF_ONE_LEVEL = 3, 100
"""Langevin steps per level of the samples that training shows."""

JACOBIAN_EVALUATIONS = 2
"""Score evaluations that take as long as a product with the score's Jacobian."""

LIKELIHOOD_EVALUATIONS = 4
"""Score evaluations of a step of the probability-flow ODE."""


@dataclass
class TaskSeconds:
    """Seconds of what is left to do, one after the other; None if they are unknown."""

    plan: Plan
    jobs: Sequence[Job]
    """State of the runs and of the settings of each."""
    costs: Costs

    def training(self, run: Run) -> float | None:
        """Return the seconds of the remaining steps of a run, and of the samples that they show."""
        each = self.costs.step_seconds.get(train_key(run))
        if each is None or not run.train.network.is_trained:
            return each
        steps = run.train.steps - _steps_done(self._job_of_run[run.id])
        shown = math.ceil(steps / run.train.log.images) * self._image_evaluations(run)
        return steps * each + shown * self.costs.image_seconds.get(image_key(run), 0.0)

    def _image_evaluations(self, run: Run) -> int:
        levels = self._levels(run) or 1
        return 1 + (IMAGE_STEPS * levels if levels > 1 else IMAGE_STEPS_OF_ONE_LEVEL)

    def _levels(self, run: Run) -> int | None:
        self.costs.evaluations_per_sample(self.plan, run, self.plan.settings[0])
        return self.costs.levels.get((run.dataset.id, run.train.noise.model_dump_json()))

    # ── Samples ─────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def drawing(self) -> dict[tuple[str, str], float | None]:
        """Seconds to draw the missing samples, by run and setting.

        Of settings that share a store, each draws what those of fewer samples do not.
        """
        runs, settings = {run.id: run for run in self.plan.runs}, self.plan.settings_by_id()
        found, reached = dict[tuple[str, str], float | None](), dict[tuple[str, str], int]()
        unfinished = [
            (job, settings[job.setting])
            for job in self.jobs
            if job.setting is not None and job.state not in ("sampled", "done")
        ]
        for job, setting in sorted(unfinished, key=lambda pair: pair[1].sample.count):
            store, sample = (job.run, setting.store), setting.sample
            held = max(job.held // sample.chunk, _steps_done(job), reached.get(store, 0))
            found[job.run, setting.id] = self.drawing_from(runs[job.run], setting, held)
            reached[store] = math.ceil(sample.count / sample.chunk)
        return found

    def drawing_from(self, run: Run, setting: Setting, held: int) -> float | None:
        """Return the seconds to draw what a store of `held` full chunks lacks."""
        sample = setting.sample
        number = new_samples(sample.count, held, sample.chunk)
        if sample.best_step is not None and has_best_step(run, setting):
            of_a_step = new_samples(sample.best_step.count, 0, sample.chunk)
            number += len(run.train.kept_steps) * of_a_step
        each = self.costs.sample_seconds.get(sample_key(run, setting))
        evaluations = self.costs.evaluations_per_sample(self.plan, run, setting)
        return times_known(number, times_known(evaluations, each))

    # ── Measurements ────────────────────────────────────────────────────────────────────────────

    def measuring(self, run: Run, setting: Setting) -> list[float | None]:
        """Return the seconds of each measurement of a setting: for the best step, of all steps."""
        counts = [setting.sample.count]
        if setting.sample.best_step is not None and has_best_step(run, setting):
            counts += [setting.sample.best_step.count] * len(run.train.kept_steps)
        found = [measuring_at(self.costs, run.dataset.id, count) for count in counts]
        return [None if each is None else each.seconds for each in found]

    def first_measuring(self, run: Run) -> float:
        """Return how many more seconds the first measurement of a process takes."""
        known = self.costs.measuring.items()
        return max((e.first_seconds for (name, _), e in known if name == run.dataset.id), default=0)

    def network_metrics(self, run: Run) -> float | None:
        """Return the seconds of the metrics of a network, from those of its score."""
        each = self.costs.sample_seconds.get(sample_key(run, self.plan.settings[0]))
        levels = self._levels(run)
        if each is None or levels is None:
            return None
        exact = self.costs.exact_seconds.get(run.dataset.id, 0.0)
        return sum(
            _network_seconds(block, levels, each, exact) for block in self.plan.evaluate_blocks
        )

    @cached_property
    def _job_of_run(self) -> Mapping[str, Job]:
        return {job.run: job for job in self.jobs if job.setting is None}


def _network_seconds(evaluate: Evaluate, levels: int, each: float, exact: float) -> float:
    """Return the seconds of the metrics of a network at one point of the evaluation grid.

    Args:
        evaluate: what is measured.
        levels: number of levels.
        each: seconds of a score evaluation of one sample.
        exact: seconds of the exact score at one point.
    """
    total = 0.0
    if evaluate.measures_score_error:
        points, passes = 2 * levels * evaluate.score_error_samples, 1 + bool(evaluate.density_bins)
        jacobian = evaluate.asymmetry_probes * JACOBIAN_EVALUATIONS * each
        total += points * (passes * (each + exact) + jacobian)
    if "bits_per_dimension" in evaluate.metrics:
        probes = 1 if evaluate.likelihood_probes is None else max(1, evaluate.likelihood_probes)
        steps = LIKELIHOOD_EVALUATIONS * evaluate.likelihood_steps
        total += (
            2 * evaluate.likelihood_samples * steps * (1 + JACOBIAN_EVALUATIONS * probes) * each
        )
    return total


def new_samples(count: int, held: int, chunk: int) -> int:
    """Return how many samples are drawn to reach `count` from `held` chunks: full chunks."""
    return max(0, math.ceil(count / chunk) - held) * chunk


def measuring_at(costs: Costs, dataset: str, count: int) -> Measuring | None:
    """Return the cost of measuring `count` samples; between two known counts, on a line."""
    known = {n: each for (name, n), each in costs.measuring.items() if name == dataset}
    if count in known or not known:
        return known.get(count)
    if not min(known) < count < max(known):
        nearest = min(known, key=lambda n: abs(n - count))
        return known[nearest]._replace(seconds=known[nearest].seconds * count / nearest)
    low, high = max(n for n in known if n < count), min(n for n in known if n > count)
    share = (count - low) / (high - low)
    pairs = zip(known[low], known[high], strict=True)
    return Measuring(*((1 - share) * a + share * b for a, b in pairs))


def _steps_done(job: Job) -> int:
    """Return the finished optimizer steps, or chunks of samples, that still count."""
    return job.progress.step if job.progress and job.state != "outdated" else 0


def times_known(number: float | None, seconds: float | None) -> float | None:
    """Return the product; None if a factor is unknown."""
    return None if number is None or seconds is None else number * seconds


def sum_known(values: Iterable[float | None]) -> float | None:
    """Return the sum; None if a value is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
