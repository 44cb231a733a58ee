"""The state of a study's report, and the measurements that it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.input_hashes import find_made_from
from scoresweep.pipeline.results.result import Result, Results, score_error_key
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.labels import labels_hash
from scoresweep.pipeline.study.published import published_hash
from scoresweep.pipeline.system.hdf5 import is_complete

__all__ = ["outdated_measurements", "report_state"]


def outdated_measurements(plan: Plan, results: Results) -> dict[Path, str]:
    """Return the files that a report must leave out, each with the reason.

    A measurement is outdated if it, its network or its samples are.
    """
    used = dict[Path, list[Result]]()
    for run in plan.runs:
        network = results["train", run.id]
        used[plan.paths.training_curves(run.id)] = [network]
        for name in plan.measured_weights(run):
            error = results[score_error_key(run.id, name)]
            used[error.output] = [network, error]
        for setting in results.settings[run.id]:
            samples = results["sample", run.id, setting.id]
            metrics = results["evaluate", run.id, setting.id]
            used[metrics.output] = [network, samples, metrics]
    reasons = {
        path: next((result.reason for result in chain if result.state == "outdated"), "")
        for path, chain in used.items()
    }
    return {path: reason for path, reason in reasons.items() if reason}


def report_state(plan: Plan, results: Results) -> Result:
    """Return the state of the report; it is outdated if its results changed.

    It is due, too, if a choice of successive halving has no file: `report` writes it.
    """
    paths = plan.paths
    result = Result("report", paths.report)
    parts = (paths.report, paths.metrics_table, paths.report_page, paths.figures)
    missing = [path.name for path in parts if not path.exists()]
    record = None if missing else _read_record(paths.report)
    if record is None:
        result.state = "missing"
        result.reason = f"without {', '.join(missing)}" if missing else "damaged"
    else:
        if record:
            is_current = record.get("results") == results.content_sha256()
        else:
            is_current = _has_same_points(plan, paths.report)
        if not is_current:
            result.state, result.reason = "outdated", "its results changed since"
        elif record.get("published") != published_hash(plan.study.published):
            result.state, result.reason = "outdated", "the study has other published values"
        elif record.get("labels") != labels_hash(plan.study, plan.labels):
            result.state, result.reason = "outdated", "the study has other labels"
        elif not all(choice.is_written for choice in results.choices.values()):
            result.state, result.reason = "outdated", "a choice of successive halving has no file"
    result.mark_due((bool(results.due), "its results change"))
    return result


def _read_record(report: Path) -> dict[str, str] | None:
    """Return what a report records of its inputs; None if it is damaged."""
    content = report.read_bytes()
    return find_made_from(content) if is_complete(content) else None


def _has_same_points(plan: Plan, report: Path) -> bool:
    """Return whether a report without a record, of an earlier version, has the points of `plan`."""
    import h5py

    from scoresweep.pipeline.study import parse_study, plan_study

    try:
        with h5py.File(report, "r") as file:
            content = json.loads(file.attrs["config"])
        other = plan_study(parse_study(content, str(report)), plan.paths.root)
    except (OSError, ValueError, KeyError, InputError):
        return False
    return _points(plan) == _points(other)


def _points(plan: Plan) -> set[str]:
    """Return hashes that identify the points of a plan."""
    ids = {point.id[-8:] for points in (plan.runs, plan.settings) for point in points}
    return ids | {plan.evaluate_hash(), plan.score_error_hash()}
