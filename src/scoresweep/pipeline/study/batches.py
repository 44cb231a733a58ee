"""Batches of settings: what one job of the rule `sweep` draws and measures.

The tasks of a run are its settings and, if the study measures it, its score error. They are sorted
by a hash and split evenly, so that costly settings spread over the batches. Which batch a task is
in has no effect on its result, and results do not record it.

With successive halving, each count has batches of its own. The batches of a later count get their
settings when all settings of the group are measured at the count before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.expected_stages import expected_stages
from scoresweep.pipeline.study.ids import ID
from scoresweep.pipeline.study.plan import Plan, Run, Setting

__all__ = [
    "SCORE_ERROR",
    "SETTINGS_PER_JOB_ON_SLURM",
    "Batch",
    "check_settings_per_job",
    "count_batches",
    "find_batch",
    "score_error_task",
    "setting_tasks",
    "split_into_batches",
    "tasks_of",
    "weights_of_task",
]

SCORE_ERROR = "score_error"
"""The task that measures the score error of a run's default weights, and the start of the names of
those for other weights; all other tasks are named by their setting."""

BATCHES_PER_CORE = 2
"""Batches per core on one machine, so that no core waits long for the last batch."""

SETTINGS_PER_JOB_ON_SLURM = 25
"""Default on clusters, where a job waits in the queue and starts slowly."""

NAME = re.compile(r"([1-9]\d*)-of-([1-9]\d*)(?:-at-([1-9]\d*))?")


@dataclass(frozen=True)
class Batch:
    """Some of the tasks of a run."""

    run: str
    number: int
    """Which part of the run's tasks it is, from 1."""
    total: int
    tasks: list[str] | None
    """Ids of settings, or score errors; None for a later count of successive halving."""
    expected: int
    """Number of tasks, or about how many of a later count."""
    count: int | None = None
    """The count of successive halving; None without it."""

    @property
    def name(self) -> str:
        """Its name, such as "3-of-40", or "3-of-40-at-500" with successive halving."""
        return f"{self.number}-of-{self.total}" + (f"-at-{self.count}" if self.count else "")

    def part_of(self, tasks: list[str]) -> list[str]:
        """Return the part of a run's tasks that is in this batch."""
        start, end = ((n * len(tasks)) // self.total for n in (self.number - 1, self.number))
        return tasks[start:end]


def check_settings_per_job(value: object) -> None:
    """Raise `InputError` if `value` is not a number of settings, 1 or more."""
    if type(value) is not int or value < 1:
        given = "" if value is None else value
        raise InputError(
            f"--config settings_per_job={given}: expected a whole number of settings, 1 or more"
        )


def tasks_of(plan: Plan, run: Run) -> list[str]:
    """Return the tasks of a run, sorted by a hash: at the first count of successive halving."""
    other = [(run.id[-8:], 0, score_error_task(name)) for name in plan.measured_weights(run)]
    return [name for *_, name in sorted([*_sort_keys(plan.first_settings()), *other])]


def score_error_task(weights: str) -> str:
    """Return the task that measures the score error of the weights of this name."""
    return f"{SCORE_ERROR}_{weights}" if weights else SCORE_ERROR


def weights_of_task(task: str) -> str | None:
    """Return the name of the weights whose score error a task measures; None for a setting."""
    if task == SCORE_ERROR:
        return ""
    is_other = task.startswith(f"{SCORE_ERROR}_") and not ID.fullmatch(task)
    return task.removeprefix(f"{SCORE_ERROR}_") if is_other else None


def setting_tasks(settings: Sequence[Setting]) -> list[str]:
    """Return the tasks of settings, sorted by a hash."""
    return [name for *_, name in sorted(_sort_keys(settings))]


def _sort_keys(settings: Sequence[Setting]) -> list[tuple[str, int, str]]:
    """Return the sort key of each setting, which ends in its id.

    Settings that share a sample store follow each other, the largest `count` first: it draws the
    samples of the others.
    """
    first: dict[str, str] = {}
    for setting in settings:
        digest = setting.id[-8:]
        first[setting.store] = min(digest, first.get(setting.store, digest))
    return [(first[s.store], -s.sample.count, s.id) for s in settings]


def count_batches(tasks: int, runs: int, cores: int, settings_per_job: int | None = None) -> int:
    """Return the number of batches of a run.

    Args:
        tasks: number of tasks of the run.
        runs: number of runs of the study.
        cores: cores of the machine, to keep busy if `settings_per_job` is None.
        settings_per_job: maximum number of tasks of a batch.
    """
    if settings_per_job is not None:
        return math.ceil(tasks / settings_per_job)
    return min(tasks, math.ceil(BATCHES_PER_CORE * cores / runs))


def split_into_batches(plan: Plan, cores: int, settings_per_job: int | None = None) -> list[Batch]:
    """Return all batches of a study; see `count_batches`."""
    batches, later = [], expected_stages(plan)[1:]
    for run in plan.runs:
        tasks = tasks_of(plan, run)
        stages: list[tuple[int | None, int, list[str] | None]]
        stages = [(plan.counts[0] if plan.halving else None, len(tasks), tasks)]
        stages += [(count, number, None) for count, number in later]
        for count, size, known in stages:
            total = count_batches(size, len(plan.runs), cores, settings_per_job)
            batches += [_batch(run, n, total, known, size, count) for n in range(1, total + 1)]
    return batches


def find_batch(plan: Plan, run: Run, name: str) -> Batch:
    """Return a batch of a run by its name, such as "3-of-40"; raise `InputError` if misspelt."""
    found = NAME.fullmatch(name)
    if found is None or int(found[1]) > int(found[2]):
        raise InputError(f'--batch {name}: expected a part such as "3-of-40", from 1-of-40 on')
    count = int(found[3]) if found[3] else None
    counts: Sequence[int | None] = plan.counts or [None]
    if count not in counts:
        known = " or ".join(f"-at-{count}" for count in plan.counts)
        raise InputError(
            f"--batch {name}: expected a name that ends in {known}, a count of successive halving"
            if known
            else f'--batch {name}: expected a part such as "3-of-40": the study has no '
            f"successive halving"
        )
    stages, tasks = dict(expected_stages(plan)), tasks_of(plan, run)
    is_first = count is None or count == plan.counts[0]
    size = len(tasks) if count is None or is_first else stages[count]
    return _batch(run, int(found[1]), int(found[2]), tasks if is_first else None, size, count)


def _batch(
    run: Run, number: int, total: int, tasks: list[str] | None, size: int, count: int | None
) -> Batch:
    batch = Batch(run.id, number, total, None, math.ceil(size / total), count)
    if tasks is None:
        return batch
    part = batch.part_of(tasks)
    return replace(batch, tasks=part, expected=len(part))
