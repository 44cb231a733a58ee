"""Examine the results of a study."""

from __future__ import annotations

from scoresweep.pipeline.results.code_version import Kind, describe_other_code
from scoresweep.pipeline.results.due_jobs import mark_due_jobs, mark_other_code
from scoresweep.pipeline.results.report_state import report_state
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.results.states import (
    dataset_state,
    list_names,
    metrics_state,
    network_state,
    recorded_dataset,
    reference_state,
    samples_state,
    score_error_state,
)
from scoresweep.pipeline.study import Plan

__all__ = ["examine_results", "is_measured"]


def examine_results(plan: Plan, *, this_code: bool = False) -> Results:
    """Return the state of every result of `plan`.

    With `this_code`, results computed by other code count as outdated.
    """
    paths, options, results = plan.paths, plan.evaluate_hash(), Results()
    by_key = results.by_key
    for dataset in plan.study.dataset:
        data = by_key["stage", dataset.id] = dataset_state(paths, dataset)
        for extractor in plan.extractors:
            reference = reference_state(plan, dataset.id, extractor, data)
            by_key["reference", dataset.id, extractor] = reference
    for run in plan.runs:
        data = by_key["stage", run.dataset.id]
        network = by_key["train", run.id] = network_state(paths, run.id, data)
        if plan.measures_score_error:
            by_key["score_error", run.id] = score_error_state(plan, run.id, network, data)
        sample_files = list_names(paths.results / "samples" / run.id)
        metric_files = list_names(paths.results / "metrics" / run.id)
        for setting in plan.settings:
            samples = samples_state(paths, run.id, setting, network, data, sample_files)
            by_key["sample", run.id, setting.id] = samples
            metrics = metrics_state(plan, run.id, setting.id, samples, data, metric_files, options)
            by_key["evaluate", run.id, setting.id] = metrics
    if this_code:
        mark_other_code(plan, results)
    mark_due_jobs(plan, results)
    by_key["report",] = report_state(plan, results)
    return results


def is_measured(
    plan: Plan, run_id: str, setting_id: str | None = None, *, this_code: bool = False
) -> bool:
    """Return whether a setting's metrics, or a run's score error, are up to date.

    With `this_code`, they must also have been computed by this code.
    """
    data = recorded_dataset(plan.paths, plan.run(run_id).dataset.id)
    network = network_state(plan.paths, run_id, data)
    kind: Kind
    if setting_id is None:
        measured = score_error_state(plan, run_id, network, data)
        used, kind = [measured], "score_error"
    else:
        samples = samples_state(plan.paths, run_id, plan.setting(setting_id), network, data)
        measured = metrics_state(plan, run_id, setting_id, samples, data)
        used, kind = [network, samples, measured], "metrics"
    if any(result.state != "done" for result in used):
        return False
    return not (this_code and describe_other_code(measured.output, kind))
