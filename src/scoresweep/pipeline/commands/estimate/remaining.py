"""Number of jobs of each rule, and the time that the remaining ones take."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.commands.estimate.costs import (
    Costs,
    sample_key,
    samples_of_steps,
    train_key,
)
from scoresweep.pipeline.results import RULES, Results
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.expected_stages import expected_stages

__all__ = ["RuleProgress", "progress_of_rules", "sampling_seconds"]


class RuleProgress(NamedTuple):
    """The jobs of one rule, or the tasks that have a step of this name."""

    name: str
    total: int
    done: int
    seconds: float | None
    """Time of the remaining jobs; None if unknown."""


def progress_of_rules(
    plan: Plan, jobs: Sequence[Job], results: Results, costs: Costs
) -> list[RuleProgress]:
    """Return the number of jobs of each rule and step, and the time of those that remain."""
    sampling, later = sampling_seconds(plan, jobs, costs), _later_seconds(plan, results, costs)
    total = None if sampling is None or later is None else sum(sampling.values()) + later
    seconds = {
        "train": _training_seconds(plan, [job for job in jobs if job.setting is None], costs),
        **dict.fromkeys(("sample", "sweep"), total),
    }
    rules = []
    for name in RULES:
        due = [result.is_due for result in results.of(name)]
        rules.append(RuleProgress(name, len(due), due.count(False), seconds.get(name)))
    return rules


def _training_seconds(plan: Plan, jobs: Sequence[Job], costs: Costs) -> float | None:
    total = 0.0
    for run, job in zip(plan.runs, jobs, strict=True):
        if job.state == "done":
            continue
        seconds = costs.step_seconds.get(train_key(run))
        if seconds is None:
            return None
        total += seconds * (run.train.steps - _steps_done(job))
    return total


def sampling_seconds(
    plan: Plan, jobs: Sequence[Job], costs: Costs
) -> dict[tuple[str, str], float] | None:
    """Return the time to draw the missing samples, by run and setting; None if unknown.

    Of settings that share a store, each draws what those of fewer samples do not.
    """
    runs, settings = {run.id: run for run in plan.runs}, plan.settings_by_id()
    found, reached = {}, dict[tuple[str, str], int]()
    unfinished = [
        (job, settings[job.setting])
        for job in jobs
        if job.setting is not None and job.state not in ("sampled", "done")
    ]
    for job, setting in sorted(unfinished, key=lambda pair: pair[1].sample.count):
        run = runs[job.run]
        seconds = _seconds_per_sample(plan, costs, run, setting)
        if seconds is None:
            return None
        store = run.id, setting.store
        drawn = max(job.held, _steps_done(job) * setting.sample.chunk, reached.get(store, 0))
        missing = max(0, setting.sample.count - drawn) + samples_of_steps(run, setting)
        found[run.id, setting.id] = seconds * missing
        reached[store] = setting.sample.count
    return found


def _later_seconds(plan: Plan, results: Results, costs: Costs) -> float | None:
    """Return the time to draw for counts of successive halving whose choice is not made yet.

    About as many settings as will be kept, of average cost, grow from the count before.
    """
    stages, total = list(itertools.pairwise(expected_stages(plan))), 0.0
    for run in plan.runs:
        samples = sum(
            number * (count - before)
            for (before, _), (count, number) in stages
            if (run.id, count) not in results.stages
        )
        if samples:
            each = [_seconds_per_sample(plan, costs, run, setting) for setting in plan.settings]
            known = [seconds for seconds in each if seconds is not None]
            if len(known) < len(each):
                return None
            total += samples * statistics.fmean(known)
    return total


def _seconds_per_sample(plan: Plan, costs: Costs, run: Run, setting: Setting) -> float | None:
    seconds = costs.sample_seconds.get(sample_key(run, setting))
    evaluations = costs.evaluations_per_sample(plan, run, setting)
    return None if seconds is None or evaluations is None else seconds * evaluations


def _steps_done(job: Job) -> int:
    """Return the finished optimizer steps, or chunks of samples, that still count."""
    return job.progress.step if job.progress and job.state != "outdated" else 0
