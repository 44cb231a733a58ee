"""From the files of a study to one labelled tree, and from that to tables.

The tree has the groups `training`, `score_error` and `sampling`. Every swept axis is a dimension
with its values as coordinates; a point that is missing is NaN there, and `state` tells. The group
`reference` says what the features of real samples cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from scoresweep.pipeline.cluster.progress import Job
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.netcdf_attrs import label, label_of_option
from scoresweep.pipeline.report.format import is_repeat
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.tables.array_builder import ArrayBuilder
from scoresweep.pipeline.report.tables.axes import Grid, axis_options, grid_of, unique_values
from scoresweep.pipeline.report.tables.compute_cost import (
    MEASURING,
    SPENT,
    compute_cost_dataset,
    read_cost,
)
from scoresweep.pipeline.report.tables.cost_axes import split_costs
from scoresweep.pipeline.report.tables.netcdf_reader import NetcdfReader, OutdatedError, Variable
from scoresweep.pipeline.results.code_summary import CodeCounts, code_records, count_codes
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.provenance import provenance

__all__ = [
    "MetricFailure",
    "MissingResult",
    "ReportData",
    "collect",
    "long_table",
    "metric_names",
    "planned_table",
    "wide_table",
]

SCHEMA_VERSION = 1
"""Version of the layout of `report.nc`; it rises when readers have to change."""

INNER = ("split", "level", "sigma", "density_bin", "class", "mode")
"""Dimensions of a measurement beyond the swept axes."""

COMPANIONS = ("low", "high", "real", "noise")
"""`frechet_pixels_low` goes with `frechet_pixels`, and so on: interval and reference values."""

PICTURED = frozenset({"density_point", "field_point"})
"""Dimensions of what is kept for a picture and is no measurement."""

CURVE_POINTS = 500
"""Most points of a training curve in the report; a longer one is thinned out evenly."""

ALL_CURVE_POINTS = 100_000
"""Most points of all training curves together, but for ten a run: bounds the report's memory."""


class MissingResult(NamedTuple):
    """A part of the study that has no result."""

    part: Literal["training", "score error", "sampling"]
    run: str
    setting: str | None
    state: Literal["missing", "failed"]
    reason: str

    @property
    def name(self) -> str:
        """Run id, or run id and setting id."""
        return f"{self.run} / {self.setting}" if self.setting else self.run


class MetricFailure(NamedTuple):
    """A metric that could not be computed of samples that were measured otherwise."""

    metric: str
    run: str
    setting: str
    reason: str


class _Source(NamedTuple):
    """A file of results: where its values go, and the job that makes it."""

    position: tuple[int, ...]
    path: Path
    kind: str
    """What its attributes depend on."""
    job: Job
    measured: str | None = None
    """Hash of the options that it must have been measured with."""


@dataclass(frozen=True)
class ReportData:
    """Everything that was measured, and what was not."""

    tree: xr.DataTree
    gaps: list[MissingResult]
    run_axes: list[str]
    """Swept axes of the training grid, the dataset included."""
    setting_axes: list[str]
    """Swept axes of the sampling grid."""
    evaluation_axes: list[str]
    """Swept axes of the evaluation grid."""
    exact_runs: frozenset[str] = frozenset()
    """Ids of the runs whose network is the exact score."""
    problems: Sequence[MetricFailure] = ()
    """Metrics that could not be computed."""
    codes: CodeCounts = field(default_factory=dict)
    """How many results of each kind which code has made."""

    def ranked(self, wide: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `wide` that compete: those of networks, or all where there are none.

        The exact score is what networks are compared with.
        """
        trained = wide[~wide["run"].isin(self.exact_runs)]
        return trained if len(trained) else wide

    @property
    def axes(self) -> list[str]:
        """All swept axes."""
        return [*self.run_axes, *self.setting_axes, *self.evaluation_axes]


def collect(
    plan: Plan, jobs: Sequence[Job], outdated: Mapping[Path, str] | None = None
) -> ReportData:
    """Read every file of results that there is; `jobs` are the states of all runs and settings.

    Files of `outdated` are left out, for the reasons that it holds. The cost is linear in the
    number of files. Raises `InputError` where a file has a variable with the name of a swept axis.
    """
    paths, gaps, problems = plan.paths, list[MissingResult](), list[MetricFailure]()
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
        "training": _group([runs], trained, "training", run_jobs, gaps, problems, old, points),
        "score_error": _group([runs], measured, "score error", run_jobs, gaps, problems, old),
    }
    groups = {name: group.assign(ids) for name, group in groups.items()}
    groups["reference"] = _references(plan)
    ids["setting"] = (tuple(settings.shape), settings.labels(names))
    sampling = _group([runs, settings], sampled, "sampling", run_jobs, gaps, problems, old)
    sampling = sampling.assign(ids)
    facts = [(position, read_cost(path)) for position, path in drawn]
    sampling = sampling.assign(compute_cost_dataset(runs.shape | settings.shape, facts))
    groups["sampling"] = sampling.assign(n_generated=_counts(plan, settings)).assign(
        split_costs(sampling, runs, plan.runs)
    )
    named = {name: _labelled(group, axis_options(plan.study)) for name, group in groups.items()}
    run_axes, setting_axes, evaluation_axes = (
        list(point.axes) for point in (plan.runs[0], plan.settings[0], plan.evaluations[0])
    )
    levels = {"networks": run_axes, "samplings": setting_axes, "evaluations": evaluation_axes}
    _say_repeats(named["sampling"], levels)
    codes = count_codes(plan)
    made = {"code": json.dumps(code_records(codes))}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=_attributes(plan) | made), **named})
    exact = frozenset(run.id for run in plan.runs if not run.train.network.is_trained)
    axes = run_axes, setting_axes, evaluation_axes
    return ReportData(tree, gaps, *axes, exact, problems, codes)


def _say_repeats(sampling: xr.Dataset, levels: Mapping[str, Sequence[str]]) -> None:
    """Say in attributes which axes are repeats, of what, and how many a configuration has."""
    for level, axes in levels.items():
        repeats = [axis for axis in axes if is_repeat(axis) and axis in sampling.coords]
        counts = [len(np.unique(sampling.coords[axis].values)) for axis in repeats]
        for axis in repeats:
            sampling.coords[axis].attrs["repeats"] = level
        sampling.attrs[f"{level}_of_a_configuration"] = int(np.prod(counts))


def _references(plan: Plan) -> xr.Dataset:
    """Return what the features of real samples cost, which all studies share."""
    datasets, extractors = [one.id for one in plan.study.dataset], plan.extractors
    facts = [
        ((row, column), read_cost(plan.reference(dataset, extractor)))
        for row, dataset in enumerate(datasets)
        for column, extractor in enumerate(extractors)
    ]
    shape = {"dataset": len(datasets), "extractor": len(extractors)}
    names = {"dataset": unique_values(datasets), "extractor": unique_values(extractors)}
    return compute_cost_dataset(shape, facts).assign_coords(names)


def metric_names(dataset: xr.Dataset) -> list[str]:
    """Return the variables of a group that are measurements, without their companions."""
    names = [str(name) for name, v in dataset.data_vars.items() if v.dtype.kind == "f"]
    return [
        name
        for name in names
        if name not in ("sigma", "n_generated", *SPENT, *(MEASURING + one for one in SPENT))
        and not _is_companion(name, names)
        and PICTURED.isdisjoint(dataset[name].dims)
    ]


def wide_table(data: ReportData) -> pd.DataFrame:
    """Return one row for each measured setting: `run`, `setting`, its axes and every metric.

    Metrics are the variables of the group `sampling` that are one number for a setting; companions
    stand in columns `<metric>_low` and so on. Two more tell repeats apart (`label_repeats`).
    """
    sampling = data.tree["sampling"].to_dataset()
    points = set(sampling["state"].dims) | set(data.evaluation_axes)
    scalar = [name for name, variable in sampling.data_vars.items() if set(variable.dims) <= points]
    frame = _flat(sampling[scalar].drop_dims(set(sampling[scalar].dims) - points))
    done = frame[frame["state"] == "done"].reset_index(drop=True)
    networks, samplings = (
        [axis for axis in axes if is_repeat(axis)] for axes in (data.run_axes, data.setting_axes)
    )
    return label_repeats(done, networks, samplings, done["run"].isin(data.exact_runs))


def planned_table(data: ReportData) -> pd.DataFrame:
    """Return one row for each setting that the study asks for, with its axes and its `state`."""
    frame = _flat(data.tree["sampling"].to_dataset()[["state"]])
    return frame[frame["state"] != ""].reset_index(drop=True)


def long_table(data: ReportData) -> pd.DataFrame:
    """Return every measured number as a row: run, setting, axes, metric, value, low, high, n.

    `networks` and `samplings` are how many of them have this number, of the configuration (the
    axes but for seeds) that the row belongs to; `low` and `high` are of the one row alone.
    """
    groups = [data.tree[group].to_dataset() for group in ("score_error", "sampling")]
    parts = [_long(group, name) for group in groups for name in metric_names(group)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    inner = [name for name in INNER if name in table]
    columns = ["run", "setting", *data.axes, *inner, "metric", "value", *COMPANIONS]
    table = table.reindex(columns=[*columns, "networks", "samplings", "n_generated", "extractor"])
    kept = [axis for axis in [*data.axes, *inner] if not is_repeat(axis)]
    # Score errors are of networks: they have no setting, and no samplings.
    drawn = table["run"].astype(str) + " " + table["setting"].astype(str)
    table["samplings"] = drawn.where(table["setting"].notna())
    # The exact score is one, whatever its training seeds are.
    table["networks"] = table["run"].mask(table["run"].isin(data.exact_runs), "exact")
    points = table.groupby([*kept, "metric"], dropna=False)
    table["networks"] = points["networks"].transform("nunique")
    table["samplings"] = points["samplings"].transform("nunique")
    return table


def _long(dataset: xr.Dataset, metric: str) -> pd.DataFrame:
    """Stack one metric, with its companions and what identifies it as columns."""
    columns = {"value": dataset[metric]}
    columns |= {c: dataset[f"{metric}_{c}"] for c in COMPANIONS if f"{metric}_{c}" in dataset}
    columns |= {
        name: dataset[name]
        for name in ("run", "setting", "n_generated", "sigma")
        if name in dataset and set(dataset[name].dims) <= set(dataset[metric].dims)
    }
    frame = _flat(xr.Dataset(columns))
    frame = frame[frame["value"].notna()]
    return frame.assign(metric=metric, extractor=dataset[metric].attrs.get("extractor", ""))


def _flat(dataset: xr.Dataset) -> pd.DataFrame:
    """Return a dataset as a table with a row for each of its points, also where there is one."""
    along = dataset if dataset.dims else dataset.expand_dims("point")
    frame = along.to_dataframe().reset_index()
    return frame.drop(columns="point") if "point" in frame else frame


def _group(
    grids: Sequence[Grid],
    sources: Sequence[_Source],
    part: Literal["training", "score error", "sampling"],
    runs: Mapping[str, Job],
    gaps: list[MissingResult],
    problems: list[MetricFailure],
    outdated: Mapping[Path, str],
    curve_points: int = CURVE_POINTS,
) -> xr.Dataset:
    """Read `sources` into arrays over `grids`; what there is not is added to `gaps`.

    Metrics that could not be computed are added to `problems`.
    """
    shape = {dim: size for grid in grids for dim, size in grid.shape.items()}
    state = np.full(tuple(shape.values()), "", dtype=object)
    gather, reader = ArrayBuilder(shape), NetcdfReader()
    for source in sources:
        try:
            if source.path in outdated:
                raise OutdatedError(outdated[source.path])
            variables = reader.read(source.path, source.kind, source.measured)
        except OSError as error:
            gap = _gap(part, source, runs[source.job.run], error)
            gaps.append(gap)
            state[source.position] = gap.state
            continue
        gather.add(source.position, _thinned(variables, curve_points))
        for metric, reason in reader.problems.pop(source.path, {}).items():
            problems.append(MetricFailure(metric, source.job.run, source.job.setting or "", reason))
        state[source.position] = "done"
    cost = [(source.position, reader.spent.get(source.path, {})) for source in sources]
    dataset = gather.dataset().assign(state=(tuple(shape), state))
    dataset = dataset.assign(
        compute_cost_dataset(shape, cost, MEASURING if part == "sampling" else "")
    )
    for name in set(dataset.variables) & set(reader.attributes):
        dataset[name].attrs |= reader.attributes[str(name)]
    axes = {k: v for grid in grids for k, v in grid.coordinates.items()}
    if both := sorted(axes.keys() & {str(name) for name in dataset.variables}):
        raise InputError(
            f"the report's group {part} cannot hold a swept axis and a measure of the same name: "
            f"{', '.join(both)}. Give the measure another name, or add it to "
            f"scoresweep.pipeline.netcdf_attrs.VARIABLE_ATTRS, and the axis gets a longer one"
        )
    return dataset.assign_coords(axes)


def _thinned(variables: dict[str, Variable], points: int) -> dict[str, Variable]:
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


def _gap(
    part: Literal["training", "score error", "sampling"], source: _Source, run: Job, error: OSError
) -> MissingResult:
    """Say why a file of results cannot be read."""
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
        return MissingResult(
            part, job.run, job.setting, "missing", f"its network is not trained ({run.state})"
        )
    reasons = {"sampled": "sampled, not evaluated", "waiting": "not begun", "done": "not measured"}
    reason = reasons.get(job.state, f"{job.state} {job.message}".strip())
    return MissingResult(part, job.run, job.setting, "missing", reason)


def _counts(plan: Plan, settings: Grid) -> xr.DataArray:
    """Return how many samples each setting draws."""
    counts = np.full(tuple(settings.shape.values()), np.nan)
    for setting, position in zip(plan.settings, settings.positions, strict=True):
        counts[position] = setting.sample.count
    return xr.DataArray(counts, dims=tuple(settings.shape))


def _labelled(group: xr.Dataset, options: Mapping[str, str]) -> xr.Dataset:
    """Say of every variable and coordinate what it is; `options` are the paths of swept axes."""
    for name, variable in group.variables.items():
        if str(name) in options:
            is_number = variable.dtype.kind in "fi"
            variable.attrs |= label_of_option(options[str(name)], is_number=is_number)
        else:
            variable.attrs |= label(str(name))
    return group


def _attributes(plan: Plan) -> dict[str, Any]:
    """Return what made the report, as attributes that NetCDF can hold."""
    study = json.dumps(plan.study.model_dump(mode="json"), default=str)
    made = {
        key: json.dumps(value) if isinstance(value, dict | bool) else value
        for key, value in provenance().items()
    }
    return {"schema_version": SCHEMA_VERSION, "study": plan.study.study, "config": study, **made}


def _is_companion(name: str, names: Iterable[str]) -> bool:
    stem, _, last = name.rpartition("_")
    return last in COMPANIONS and stem in names
