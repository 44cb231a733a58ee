"""Examine all results of a study."""

from __future__ import annotations

from scoresweep.pipeline.results.due import compare_code, follow
from scoresweep.pipeline.results.report_state import report_of
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.results.states import (
    metrics_of,
    names_in,
    network_of,
    reference_of,
    samples_of,
    score_error_of,
    staged_data,
)
from scoresweep.pipeline.study import Plan

__all__ = ["examine"]


def examine(plan: Plan, *, this_code: bool = False) -> Results:
    """Return the state of every result of `plan`.

    With `this_code`, results of other code are outdated as well.
    """
    layout, results, options = plan.paths, Results(), plan.evaluate_hash()
    found = results.found
    for dataset in plan.study.dataset:
        data = found["stage", dataset.id] = staged_data(layout, dataset)
        for extractor in plan.extractors:
            reference = reference_of(plan, dataset.id, extractor, data)
            found["reference", dataset.id, extractor] = reference
    for run in plan.runs:
        data = found["stage", run.dataset.id]
        network = found["train", run.id] = network_of(layout, run.id, data)
        if plan.measures_score_error:
            found["score_error", run.id] = score_error_of(plan, run.id, network, data)
        drawn = names_in(layout.results / "samples" / run.id)
        measured = names_in(layout.results / "metrics" / run.id)
        for setting in plan.settings:
            samples = samples_of(layout, run.id, setting.id, network, data, drawn)
            found["sample", run.id, setting.id] = samples
            metrics = metrics_of(plan, run.id, setting.id, samples, data, measured, options)
            found["evaluate", run.id, setting.id] = metrics
    if this_code:
        compare_code(plan, results)
    follow(plan, results)
    found["report",] = report_of(plan, results)
    return results
