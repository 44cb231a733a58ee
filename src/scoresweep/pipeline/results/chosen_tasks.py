"""A later stage of successive halving: choose the settings that go on, and write the choice."""

from __future__ import annotations

from dataclasses import replace

from scoresweep.pipeline.errors import RunError, join_names
from scoresweep.pipeline.results.due_batches import known_tasks
from scoresweep.pipeline.results.examine import examine_results
from scoresweep.pipeline.results.halving_choice import write_choice
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.study import Plan, Run
from scoresweep.pipeline.study.batches import Batch

__all__ = ["chosen_tasks"]


def chosen_tasks(plan: Plan, run: Run, batch: Batch, *, this_code: bool = False) -> list[str]:
    """Return the tasks of a batch, after writing the choice that they follow from.

    Every job of a stage makes the same choice from the same metrics.

    Raises:
        RunError: if settings of the stage before are not measured, or none has a value.
    """
    group, runs = next((g, runs) for g, runs in plan.halving_groups().items() if run in runs)
    results = examine_results(replace(plan, runs=runs), this_code=this_code)
    for count in plan.counts[1:]:
        choice = results.choices.get((group, count))
        if choice is None:
            raise RunError(_not_measured(results, group, count))
        write_choice(plan, choice)
        if not any(each.kept for each in choice.configurations):
            raise RunError(
                f"successive halving of {group}: no setting has a value of {choice.measure} at "
                f"{choice.count} samples, so none can go on. See the attribute `problems` of their "
                f"metrics; more samples in sample.halving.counts may help"
            )
        if count == batch.count:
            break
    return known_tasks(results, batch) or []


def _not_measured(results: Results, group: str, count: int) -> str:
    due = [
        result for key, result in results.by_key.items() if key[0] == "evaluate" and result.is_due
    ]
    named = join_names((f"{result.output.parent.name} / {result.output.stem}" for result in due), 4)
    return (
        f"successive halving of {group}: the settings that go on to {count} samples are not known: "
        f"{len(due):,} settings are not measured: {named}. Run the workflow again, or exclude "
        f"settings that fail (sample.exclude)"
    )
