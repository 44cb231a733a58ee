"""Which batches of settings are due: those with a task that is."""

from __future__ import annotations

from collections.abc import Sequence

from scoresweep.pipeline.results.result import Key, Result, Results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import SCORE_ERROR, Batch

__all__ = ["batch_results", "due_tasks"]


def batch_results(plan: Plan, results: Results, batches: Sequence[Batch]) -> dict[Key, Result]:
    """Return the state of each batch, by rule, run and name of the batch.

    It follows from the results of its tasks: its own file only tells Snakemake that a job is done.
    """
    found: dict[Key, Result] = {}
    for batch in batches:
        result = Result("sweep", plan.paths.batch(batch.run, batch.name))
        if due := due_tasks(results, batch):
            result.state, result.is_due = "missing", True
            result.reason = f"{len(due):,} of {len(batch.tasks):,} tasks to do"
        found["sweep", batch.run, batch.name] = result
    return found


def due_tasks(results: Results, batch: Batch) -> list[str]:
    """Return the tasks of a batch that must be computed."""
    return [task for task in batch.tasks if results[_key(batch.run, task)].is_due]


def _key(run: str, task: str) -> Key:
    return ("score_error", run) if task == SCORE_ERROR else ("evaluate", run, task)
