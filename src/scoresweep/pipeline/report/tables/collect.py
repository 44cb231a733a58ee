"""Collect the result files of a study in one labelled tree.

The tree has the groups `training`, `score_error` and `sampling`. Every swept axis is a dimension
with its values as coordinates. A missing point is NaN, and `state` says why. The group `reference`
has the cost of the features of real samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.netcdf_attrs import label, label_of_option
from scoresweep.pipeline.report.format import is_repeat
from scoresweep.pipeline.report.tables.array_builder import ArrayBuilder
from scoresweep.pipeline.report.tables.axes import Grid, axis_options, grid_of, unique_values
from scoresweep.pipeline.report.tables.compute_cost import (
    EVALUATE_PREFIX,
    compute_cost_dataset,
    read_cost,
)
from scoresweep.pipeline.report.tables.error_split import split_errors
from scoresweep.pipeline.report.tables.netcdf_reader import NetcdfReader, OutdatedError, Variable
from scoresweep.pipeline.report.tables.report_data import (
    SCHEMA_VERSION,
    UNTRAINED,
    MetricFailure,
    MissingResult,
    Part,
    ReportData,
)
from scoresweep.pipeline.results.code_summary import code_records, count_codes
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.provenance import provenance

__all__ = ["collect"]

CURVE_POINTS = 500
"""Maximum points of a training curve; a longer one is thinned out evenly."""

ALL_CURVE_POINTS = 100_000
"""Maximum points of all training curves together, at least ten for each run."""


class _Source(NamedTuple):
    """A result file: the position of its values and the job that writes it."""

    position: tuple[int, ...]
    path: Path
    kind: str
    """What the attributes of its variables depend on."""
    job: Job
    measured: str | None = None
    """Hash of the options that its measurements must have."""


def collect(
    plan: Plan, jobs: Sequence[Job], outdated: Mapping[Path, str] | None = None
) -> ReportData:
    """Read every existing result file; `jobs` are the states of all runs and settings.

    `outdated` maps files to leave out to the reasons. The cost is linear in the number of files.
    Raises `InputError` if a file has a variable with the name of a swept axis.
    """
    paths, missing, failures = plan.paths, list[MissingResult](), list[MetricFailure]()
    run_jobs = {job.run: job for job in jobs if job.setting is None}
    runs = grid_of([run.axes for run in plan.runs], list(run_jobs), "run")
    names = [setting.id for setting in plan.settings]
    settings = grid_of([setting.axes for setting in plan.settings], names, "setting")
    trained, measured, sampled, drawn = [], [], [], []
    errors, metrics = plan.score_error_hash(), plan.evaluate_hash()
    for run, at in zip(plan.runs, runs.positions, strict=True):
        job, kind = run_jobs[run.id], run.dataset.id
        trained.append(_Source(at, paths.training_curves(run.id), kind, job))
        measured.append(_Source(at, paths.score_error(run.id), kind, job, errors))
    setting_jobs = {(job.run, job.setting): job for job in jobs}
    for run, at in zip(plan.runs, runs.positions, strict=True):
        for setting, along in zip(plan.settings, settings.positions, strict=True):
            path, job = paths.metrics(run.id, setting.id), setting_jobs[run.id, setting.id]
            kind = f"{run.dataset.id} {setting.sample.count}"
            sampled.append(_Source(at + along, path, kind, job, metrics))
            drawn.append((at + along, paths.samples_manifest(run.id, setting.id)))
    ids = {"run": (tuple(runs.shape), runs.labels(list(run_jobs)))}
    if not plan.measures_score_error:
        measured = []
    old = outdated or {}
    points = max(10, min(CURVE_POINTS, ALL_CURVE_POINTS // len(plan.runs)))
    groups = {
        "training": _group([runs], trained, "training", run_jobs, missing, failures, old, points),
        "score_error": _group([runs], measured, "score error", run_jobs, missing, failures, old),
    }
    groups = {name: group.assign(ids) for name, group in groups.items()}
    groups["reference"] = _references(plan)
    ids["setting"] = (tuple(settings.shape), settings.labels(names))
    sampling = _group([runs, settings], sampled, "sampling", run_jobs, missing, failures, old)
    sampling = sampling.assign(ids)
    facts = [(position, read_cost(path)) for position, path in drawn]
    sampling = sampling.assign(compute_cost_dataset(runs.shape | settings.shape, facts))
    groups["sampling"] = sampling.assign(n_generated=_counts(plan, settings)).assign(
        split_errors(sampling, runs, plan.runs)
    )
    named = {name: _labelled(group, axis_options(plan.study)) for name, group in groups.items()}
    run_axes, setting_axes, evaluation_axes = (
        list(point.axes) for point in (plan.runs[0], plan.settings[0], plan.evaluations[0])
    )
    levels = {"networks": run_axes, "samplings": setting_axes, "evaluations": evaluation_axes}
    _label_repeats(named["sampling"], levels)
    codes = count_codes(plan)
    made = {"code": json.dumps(code_records(codes))}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=_attributes(plan) | made), **named})
    exact = frozenset(run.id for run in plan.runs if not run.train.network.is_trained)
    axes = run_axes, setting_axes, evaluation_axes
    return ReportData(tree, missing, *axes, exact, failures, codes)


def _label_repeats(sampling: xr.Dataset, levels: Mapping[str, Sequence[str]]) -> None:
    """Set attributes that name the axes of repeats and count the repeats."""
    for level, axes in levels.items():
        repeats = [axis for axis in axes if is_repeat(axis) and axis in sampling.coords]
        counts = [len(np.unique(sampling.coords[axis].values)) for axis in repeats]
        for axis in repeats:
            sampling.coords[axis].attrs["repeats"] = level
        sampling.attrs[f"{level}_of_a_configuration"] = int(np.prod(counts))


def _references(plan: Plan) -> xr.Dataset:
    """Return the cost of the features of real samples, which all studies share."""
    datasets, extractors = [dataset.id for dataset in plan.study.dataset], plan.extractors
    facts = [
        ((row, column), read_cost(plan.reference(dataset, extractor)))
        for row, dataset in enumerate(datasets)
        for column, extractor in enumerate(extractors)
    ]
    shape = {"dataset": len(datasets), "extractor": len(extractors)}
    names = {"dataset": unique_values(datasets), "extractor": unique_values(extractors)}
    return compute_cost_dataset(shape, facts).assign_coords(names)


def _group(
    grids: Sequence[Grid],
    sources: Sequence[_Source],
    part: Part,
    runs: Mapping[str, Job],
    missing: list[MissingResult],
    failures: list[MetricFailure],
    outdated: Mapping[Path, str],
    curve_points: int = CURVE_POINTS,
) -> xr.Dataset:
    """Read `sources` into arrays over `grids`.

    Missing results are appended to `missing`, metrics that failed to `failures`.
    """
    shape = {dim: size for grid in grids for dim, size in grid.shape.items()}
    state = np.full(tuple(shape.values()), "", dtype=object)
    builder, reader = ArrayBuilder(shape), NetcdfReader()
    for source in sources:
        try:
            if source.path in outdated:
                raise OutdatedError(outdated[source.path])
            variables = reader.read(source.path, source.kind, source.measured)
        except OSError as error:
            result = _missing(part, source, runs[source.job.run], error)
            missing.append(result)
            state[source.position] = result.state
            continue
        builder.add(source.position, _subsample_curves(variables, curve_points))
        for metric, reason in reader.problems.pop(source.path, {}).items():
            failures.append(MetricFailure(metric, source.job.run, source.job.setting or "", reason))
        state[source.position] = "done"
    cost = [(source.position, reader.compute_cost.get(source.path, {})) for source in sources]
    dataset = builder.dataset().assign(state=(tuple(shape), state))
    dataset = dataset.assign(
        compute_cost_dataset(shape, cost, EVALUATE_PREFIX if part == "sampling" else "")
    )
    for name in set(dataset.variables) & set(reader.attributes):
        dataset[name].attrs |= reader.attributes[str(name)]
    axes = {k: v for grid in grids for k, v in grid.coordinates.items()}
    if both := sorted(axes.keys() & {str(name) for name in dataset.variables}):
        raise InputError(
            f"the report's group {part} cannot hold a swept axis and a metric of the same name: "
            f"{', '.join(both)}. Give the metric another name, or add it to "
            f"scoresweep.pipeline.netcdf_attrs.VARIABLE_ATTRS, and the axis gets a longer one"
        )
    return dataset.assign_coords(axes)


def _subsample_curves(variables: dict[str, Variable], points: int) -> dict[str, Variable]:
    """Keep every k-th point along `step`, the last included, so that at most `points` remain."""
    steps = variables["step"].values.size if "step" in variables else 0
    every = -(-steps // points)
    if every <= 1:
        return variables
    kept = {"step": slice((steps - 1) % every, None, every)}
    return {
        name: Variable(v.dims, v.values[tuple(kept.get(dim, slice(None)) for dim in v.dims)])
        for name, v in variables.items()
    }


def _missing(part: Part, source: _Source, run: Job, error: OSError) -> MissingResult:
    """Explain why a result file cannot be read."""
    job = source.job
    if isinstance(error, OutdatedError):
        reason = f"outdated: {error}; run the workflow again"
        return MissingResult(part, job.run, job.setting, "missing", reason)
    if not isinstance(error, FileNotFoundError):
        reason = f"{source.path} cannot be read; delete it and run the workflow again ({error})"
        return MissingResult(part, job.run, job.setting, "failed", reason)
    if job.state == "failed" and (part != "score error"):
        return MissingResult(part, job.run, job.setting, "failed", job.message)
    if run.state != "done" and part != "training":
        return MissingResult(part, job.run, job.setting, "missing", f"{UNTRAINED} ({run.state})")
    reasons = {
        "sampled": "sampled, not evaluated",
        "waiting": "not started",
        "done": "not measured",
    }
    reason = reasons.get(job.state, f"{job.state} {job.message}".strip())
    return MissingResult(part, job.run, job.setting, "missing", reason)


def _counts(plan: Plan, settings: Grid) -> xr.DataArray:
    """Return the number of samples of each setting."""
    counts = np.full(tuple(settings.shape.values()), np.nan)
    for setting, position in zip(plan.settings, settings.positions, strict=True):
        counts[position] = setting.sample.count
    return xr.DataArray(counts, dims=tuple(settings.shape))


def _labelled(group: xr.Dataset, options: Mapping[str, str]) -> xr.Dataset:
    """Label every variable and coordinate; `options` are the paths of swept axes."""
    for name, variable in group.variables.items():
        if str(name) in options:
            is_number = variable.dtype.kind in "fi"
            variable.attrs |= label_of_option(options[str(name)], is_number=is_number)
        else:
            variable.attrs |= label(str(name))
    return group


def _attributes(plan: Plan) -> dict[str, Any]:
    """Return study and provenance as attributes that NetCDF can store."""
    study = json.dumps(plan.study.model_dump(mode="json"), default=str)
    made = {
        key: json.dumps(value) if isinstance(value, dict | bool) else value
        for key, value in provenance().items()
    }
    return {"schema_version": SCHEMA_VERSION, "study": plan.study.study, "config": study, **made}
