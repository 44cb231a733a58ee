"""The state of a study's report, and the measurements that it leaves out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.made_from import recorded_in
from scoresweep.pipeline.results.result import Result, Results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.hdf5 import is_complete

__all__ = ["outdated_files", "report_of"]


def outdated_files(plan: Plan, results: Results) -> dict[Path, str]:
    """Return the files of measurements that a report must leave out, each with the reason.

    A measurement is outdated if it is itself, or if the network or the samples are.
    """
    made_from = dict[Path, list[Result]]()
    for run in plan.runs:
        network = results["train", run.id]
        made_from[plan.paths.training_curves(run.id)] = [network]
        if plan.measures_score_error:
            error = results["score_error", run.id]
            made_from[error.output] = [network, error]
        for setting in plan.settings:
            samples = results["sample", run.id, setting.id]
            metrics = results["evaluate", run.id, setting.id]
            made_from[metrics.output] = [network, samples, metrics]
    first = {
        path: next((one.reason for one in chain if one.state == "outdated"), "")
        for path, chain in made_from.items()
    }
    return {path: reason for path, reason in first.items() if reason}


def report_of(plan: Plan, results: Results) -> Result:
    """Return the state of the report, which holds what the study asks for and nothing else."""
    layout = plan.paths
    result = Result("report", layout.report)
    parts = (layout.report, layout.metrics_table, layout.report_page, layout.figures)
    missing = [path.name for path in parts if not path.exists()]
    if missing or not is_complete(layout.report):
        result.state = "missing"
        result.reason = f"without {', '.join(missing)}" if missing else "damaged"
    else:
        record = recorded_in(layout.report)
        if not (_is_of(plan, layout.report) if not record else _reports(record, results)):
            result.state, result.reason = "outdated", "its results changed since"
    result.follow((any(one.is_due for one in results.found.values()), "its results change"))
    return result


def _reports(record: Mapping[str, str], results: Results) -> bool:
    return record.get("results") == results.content_sha256()


def _is_of(plan: Plan, report: Path) -> bool:
    """Whether a report of an earlier version, without a record, has the points of `plan`."""
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
    """Return what tells the points of a plan from others."""
    ids = {point.id[-8:] for points in (plan.runs, plan.settings) for point in points}
    return ids | {plan.evaluate_hash(), plan.score_error_hash()}
