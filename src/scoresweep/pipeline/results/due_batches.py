"""Which batches of settings are due: those with a task that is."""

from __future__ import annotations

from collections.abc import Sequence

from scoresweep.pipeline.results.result import Key, Result, Results, score_error_key
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import Batch, setting_tasks, weights_of_task

__all__ = ["batch_results", "due_tasks", "known_tasks", "num_due_tasks"]


def batch_results(plan: Plan, results: Results, batches: Sequence[Batch]) -> dict[Key, Result]:
    """Return the state of each batch, by rule, run and name of the batch.

    It follows from the results of its tasks: its own file only tells Snakemake that a job is done.
    """
    found: dict[Key, Result] = {}
    for batch in batches:
        result = Result("sweep", plan.paths.batch(batch.run, batch.name))
        tasks = known_tasks(results, batch)
        if tasks is None:
            result.state, result.is_due = "missing", True
            result.reason = "which settings go on is not known yet"
        elif due := due_tasks(results, batch):
            result.state, result.is_due = "missing", True
            result.reason = f"{len(due):,} of {len(tasks):,} tasks to do"
        found["sweep", batch.run, batch.name] = result
    return found


def known_tasks(results: Results, batch: Batch) -> list[str] | None:
    """Return the tasks of a batch; None if successive halving has not chosen them yet."""
    if batch.tasks is not None or batch.count is None:
        return batch.tasks
    settings = results.stages.get((batch.run, batch.count))
    return None if settings is None else batch.part_of(setting_tasks(settings))


def due_tasks(results: Results, batch: Batch) -> list[str]:
    """Return the tasks of a batch that must be computed, as far as they are known."""
    tasks = known_tasks(results, batch) or ()
    return [task for task in tasks if results[_key(batch.run, task)].is_due]


def num_due_tasks(results: Results, batch: Batch) -> int:
    """Return how many tasks of a batch must be computed; about how many if that is not known."""
    known = known_tasks(results, batch) is not None
    return len(due_tasks(results, batch)) if known else batch.expected


def _key(run: str, task: str) -> Key:
    weights = weights_of_task(task)
    return ("evaluate", run, task) if weights is None else score_error_key(run, weights)
