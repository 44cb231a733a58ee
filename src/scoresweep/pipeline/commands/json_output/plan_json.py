"""The plan of a study as one JSON object, for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from scoresweep.pipeline.commands.estimate.disk_space import (
    bytes_of_features,
    bytes_of_study,
    files_of_study,
)
from scoresweep.pipeline.commands.json_output.status_json import JsonObject
from scoresweep.pipeline.commands.plan import PlanEstimate
from scoresweep.pipeline.results import SWEEP_STEPS, Rule
from scoresweep.pipeline.study import Plan

__all__ = ["PlanObject", "plan_object"]


class RuleObject(JsonObject):
    """The jobs of a rule, or the tasks of `sweep` that have a step of this name."""

    name: str
    """Name of the rule or step."""
    is_step: bool
    """Whether it is a step of `sweep`, whose jobs include it."""
    jobs: int
    """Jobs, or tasks with this step."""
    done: int
    """Those whose result is up to date."""
    due: int
    """Those that the next `snakemake` runs."""
    seconds: float | None
    """Estimated seconds of those that are due, one after the other on one core; null: unknown."""


class ReasonObject(JsonObject):
    """Why existing results are computed again."""

    rule: Rule
    """Rule or step of the results."""
    reason: str
    """What has changed."""
    count: int
    """Number of results."""


class RunObject(JsonObject):
    """A run."""

    id: str
    """Name of its folder in `results/STUDY/runs/`."""
    dataset: str
    """Id of its dataset."""
    axes: dict[str, Any]
    """Swept values by axis."""


class SettingObject(JsonObject):
    """A setting, which is applied to every run."""

    id: str
    """Name of its metrics, `results/STUDY/metrics/RUN/ID.nc`."""
    store: str
    """Name of its samples, `results/STUDY/samples/RUN/STORE.zarr`."""
    axes: dict[str, Any]
    """Swept values by axis."""


class PlanObject(JsonObject):
    """What `scoresweep plan STUDY --json` prints."""

    study: str
    """Name of the study."""
    root: str
    """Folder of `data/` and `results/`."""
    rules: list[RuleObject]
    """Rules of the workflow and steps of `sweep`, in the order of execution."""
    seconds: float | None
    """Estimated seconds from staging to the report, with jobs beside each other; null: unknown."""
    core_seconds: float | None
    """Estimated seconds of all jobs, one after the other on one core."""
    cores: int | None
    """Number of jobs beside each other."""
    seconds_from: list[str]
    """Where the estimates of time come from; empty: there are none."""
    files: int
    """About how many files the study writes."""
    bytes: float | None
    """About how many bytes they take; null: unknown before the data are staged."""
    feature_bytes: int
    """Bytes of them that are features of samples."""
    axes: dict[str, list[Any]]
    """All values of each swept axis: of runs, settings and evaluations."""
    runs: list[RunObject]
    """The runs."""
    settings: list[SettingObject]
    """The settings."""
    evaluations: list[dict[str, Any]]
    """The swept values of each evaluation; one without any if none is swept."""
    reasons: list[ReasonObject]
    """Why existing results are computed again, the most frequent reasons first."""


def plan_object(plan: Plan, estimate: PlanEstimate) -> PlanObject:
    """Return the plan of a study as plain values."""
    points = [run.axes for run in plan.runs] + [setting.axes for setting in plan.settings]
    points += [evaluation.axes for evaluation in plan.evaluations]
    left = estimate.left
    return PlanObject(
        study=plan.study.study,
        root=str(plan.paths.root.resolve()),
        rules=[_rule(*rule) for rule in estimate.rules],
        seconds=left.seconds if left else None,
        core_seconds=left.core_seconds if left else None,
        cores=left.cores if left else None,
        seconds_from=estimate.sources,
        files=files_of_study(plan),
        bytes=bytes_of_study(plan, estimate.jobs.tasks.costs),
        feature_bytes=bytes_of_features(plan),
        axes=_axes(points),
        runs=[RunObject(id=run.id, dataset=run.dataset.id, axes=run.axes) for run in plan.runs],
        settings=[SettingObject(id=s.id, store=s.store, axes=s.axes) for s in plan.settings],
        evaluations=[evaluation.axes for evaluation in plan.evaluations],
        reasons=_reasons(estimate),
    )


def _rule(name: str, total: int, done: int, seconds: float | None) -> RuleObject:
    return RuleObject(
        name=name,
        is_step=name in SWEEP_STEPS,
        jobs=total,
        done=done,
        due=total - done,
        seconds=seconds if total > done else 0.0,
    )


def _axes(points: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each axis, each once."""
    axes: dict[str, list[Any]] = {}
    for point in points:
        for axis, value in point.items():
            values = axes.setdefault(axis, [])
            if value not in values:
                values.append(value)
    return axes


def _reasons(estimate: PlanEstimate) -> list[ReasonObject]:
    outdated = [result for result in estimate.results.due if result.state != "missing"]
    counts = Counter((result.rule, result.reason) for result in outdated)
    return [
        ReasonObject(rule=rule, reason=reason, count=count)
        for (rule, reason), count in counts.most_common()
    ]
