"""Batches of settings: what one job of the rule `sweep` draws and measures.

The tasks of a run are its settings and, if the study measures it, its score error. They are sorted
by a hash and split evenly, so that costly settings spread over the batches. Which batch a task is
in has no effect on its result, and results do not record it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.plan import Plan, Run

__all__ = [
    "SCORE_ERROR",
    "SETTINGS_PER_JOB_ON_SLURM",
    "Batch",
    "check_settings_per_job",
    "count_batches",
    "find_batch",
    "split_into_batches",
    "tasks_of",
]

SCORE_ERROR = "score_error"
"""The task that measures the score error of a run; all others are named by their setting."""

BATCHES_PER_CORE = 2
"""Batches per core on one machine, so that no core waits long for the last batch."""

SETTINGS_PER_JOB_ON_SLURM = 25
"""Default on clusters, where a job waits in the queue and starts slowly."""

NAME = re.compile(r"([1-9]\d*)-of-([1-9]\d*)")


@dataclass(frozen=True)
class Batch:
    """Some of the tasks of a run."""

    run: str
    name: str
    """Which part of the run's tasks it is: "3-of-40"."""
    tasks: list[str]
    """Ids of settings, or `SCORE_ERROR`."""


def check_settings_per_job(value: object) -> None:
    """Raise `InputError` if `value` is neither None nor a number of settings, 1 or more."""
    if value is not None and (type(value) is not int or value < 1):
        raise InputError(
            f"--config settings_per_job={value}: expected a whole number of settings, 1 or more"
        )


def tasks_of(plan: Plan, run: Run) -> list[str]:
    """Return the tasks of a run, sorted by a hash.

    Settings that share a sample store follow each other, the largest `count` first: it draws the
    samples of the others.
    """
    first: dict[str, str] = {}
    for setting in plan.settings:
        digest = setting.id[-8:]
        first[setting.store] = min(digest, first.get(setting.store, digest))
    tasks = [(first[s.store], -s.sample.count, s.id) for s in plan.settings]
    if plan.measures_score_error:
        tasks.append((run.id[-8:], 0, SCORE_ERROR))
    return [name for *_, name in sorted(tasks)]


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
    batches = []
    for run in plan.runs:
        tasks = tasks_of(plan, run)
        number = count_batches(len(tasks), len(plan.runs), cores, settings_per_job)
        batches += [_batch(run, tasks, index, number) for index in range(1, number + 1)]
    return batches


def find_batch(plan: Plan, run: Run, name: str) -> Batch:
    """Return a batch of a run by its name, such as "3-of-40"; raise `InputError` if misspelt."""
    found = NAME.fullmatch(name)
    if found is None or int(found[1]) > int(found[2]):
        raise InputError(f'--batch {name}: expected a part such as "3-of-40", from 1-of-40 on')
    return _batch(run, tasks_of(plan, run), int(found[1]), int(found[2]))


def _batch(run: Run, tasks: list[str], number: int, total: int) -> Batch:
    start, end = ((n * len(tasks)) // total for n in (number - 1, number))
    return Batch(run.id, f"{number}-of-{total}", tasks[start:end])
