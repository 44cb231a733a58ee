"""Which jobs the next `snakemake` runs because their inputs change."""

from __future__ import annotations

from collections.abc import Mapping

from scoresweep.pipeline.results.code_version import Kind, describe_other_code
from scoresweep.pipeline.results.result import Key, Result, Results, score_error_key
from scoresweep.pipeline.results.states import is_imported
from scoresweep.pipeline.study import Plan, Run

__all__ = ["KINDS", "is_of_other_code", "mark_due_jobs", "mark_other_code"]

KINDS: dict[str, Kind] = {
    "stage": "data",
    "reference": "features",
    "train": "networks",
    "score_error": "score_error",
    "sample": "samples",
    "evaluate": "metrics",
}
"""Rule to the kind of result that it computes."""


def mark_other_code(plan: Plan, results: Mapping[Key, Result]) -> None:
    """Mark results of other code as outdated, except imported networks."""
    for (rule, *ids), result in results.items():
        if result.state != "done" or rule == "report":
            continue
        if rule == "train" and is_imported(plan.paths, ids[0]):
            continue
        if result.code:
            result.other_code = describe_other_code(result.code, KINDS[result.rule])
        # Staging again may give the same data, so data of other code do not outdate results.
        if result.other_code and rule != "stage":
            result.state, result.reason = "outdated", result.other_code


def is_of_other_code(result: Result) -> bool:
    """Return whether other code than this computed a result that exists."""
    return bool(result.code and describe_other_code(result.code, KINDS[result.rule]))


def mark_due_jobs(plan: Plan, results: Results) -> None:
    """Mark the jobs whose result is missing, outdated or built from inputs that change.

    Missing data and features are due only if another job needs them.
    """
    datasets_in_use = {run.dataset.id for run in plan.runs if _mark_run(plan, results, run)}
    for dataset in plan.study.dataset:
        data = results["stage", dataset.id]
        is_needed = data.state != "done" and dataset.id in datasets_in_use
        data.is_due = data.state == "outdated" or is_needed
        if data.other_code and not data.is_due:
            data.is_due, data.reason = True, data.other_code


def _mark_run(plan: Plan, results: Results, run: Run) -> bool:
    """Mark the due jobs of a run and its settings; return whether there are any."""
    data_change = results["stage", run.dataset.id].state == "outdated", "its data changed"
    network = results["train", run.id]
    if not (data_change[0] and is_imported(plan.paths, run.id)):
        network.mark_due(data_change)
    retraining = network.is_due, "its network is trained again"
    affected: list[Result] = [network]
    for name in plan.measured_weights(run):
        score_error = results[score_error_key(run.id, name)]
        score_error.mark_due(retraining, data_change)
        affected.append(score_error)
    evaluates = False
    for setting in results.settings[run.id]:
        samples = results["sample", run.id, setting.id]
        metrics = results["evaluate", run.id, setting.id]
        samples.mark_due(retraining)
        metrics.mark_due((samples.is_due, "its samples are drawn again"), data_change)
        affected += [samples, metrics]
        evaluates |= metrics.is_due
    if evaluates:
        for extractor in plan.extractors:
            results["reference", run.dataset.id, extractor].mark_due(data_change)
    return any(result.is_due for result in affected)
