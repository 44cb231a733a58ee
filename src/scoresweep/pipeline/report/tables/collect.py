"""Collect the result files of a study in one labelled tree.

The tree has the groups `training`, `score_error` and `sampling`. Every swept axis is a dimension
with its values as coordinates. A missing point is NaN, and `state` says why. The group `reference`
has the cost of the features of real samples.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.netcdf_attrs import label, label_of_option
from scoresweep.pipeline.report.tables.array_builder import ArrayBuilder
from scoresweep.pipeline.report.tables.axes import (
    Grid,
    axis_options,
    grid_of,
    unique_values,
    weights_axes,
)
from scoresweep.pipeline.report.tables.best_steps import best_steps_dataset
from scoresweep.pipeline.report.tables.compute_cost import (
    EVALUATE_PREFIX,
    compute_cost_dataset,
    read_cost,
    read_sampling_cost,
)
from scoresweep.pipeline.report.tables.error_split import split_errors
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT, HalvingCoordinates
from scoresweep.pipeline.report.tables.labels import label_attribute
from scoresweep.pipeline.report.tables.netcdf_reader import NetcdfReader, OutdatedError, Variable
from scoresweep.pipeline.report.tables.report_data import (
    SCHEMA_VERSION,
    UNTRAINED,
    MetricFailure,
    MissingResult,
    Part,
    ReportData,
)
from scoresweep.pipeline.results import Choice, Outcome, Results, examine_results, outcomes
from scoresweep.pipeline.results.code_summary import code_records, count_codes
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.study.grid import Point, content_with_defaults
from scoresweep.pipeline.study.labels import Labels
from scoresweep.pipeline.study.plugins.stand_ins import describe_methods
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
    plan: Plan,
    jobs: Sequence[Job],
    outdated: Mapping[Path, str] | None = None,
    results: Results | None = None,
) -> ReportData:
    """Read every existing result file; `jobs` are the states of all runs and settings.

    `outdated` maps files to leave out to the reasons; `results` are those of the plan, if known.
    With successive halving, a setting is read at the largest count that it reached. The cost is
    linear in the number of files.
    Raises `InputError` if a file has a variable with the name of a swept axis.
    """
    run_jobs = {job.run: job for job in jobs if job.setting is None}
    setting_jobs = {(job.run, job.setting): job for job in jobs if job.setting is not None}
    setting_ids = [setting.id for setting in plan.settings]
    runs = grid_of([run.axes for run in plan.runs], list(run_jobs), "run")
    settings = grid_of([setting.axes for setting in plan.settings], setting_ids, "setting")
    run_ids = {"run": (tuple(runs.shape), runs.labels(list(run_jobs)))}
    ids = run_ids | {"setting": (tuple(settings.shape), settings.labels(setting_ids))}
    reader = _GroupReader(run_jobs, outdated or {})
    results = results or examine_results(plan)
    reached = outcomes(plan, results) if plan.halving else {}
    groups = {
        "training": _training(plan, reader, runs).assign(run_ids),
        "score_error": _score_errors(plan, reader),
        "reference": _references(plan),
        "sampling": _sampling(
            plan, reader, setting_jobs, runs, settings, reached, results.best_steps
        ).assign(ids),
    }
    options = axis_options(plan.study)
    groups = {name: _labelled(group, options, plan.labels) for name, group in groups.items()}
    run_axes, setting_axes, evaluation_axes = (
        list(point.axes) for point in (plan.runs[0], plan.settings[0], plan.evaluations[0])
    )
    setting_axes += [COUNT] if plan.halving else []
    levels = {"networks": run_axes, "samplings": setting_axes, "evaluations": evaluation_axes}
    _label_repeats(groups["sampling"], levels)
    codes = count_codes(results)
    attrs = _attributes(plan) | {"code": json.dumps(code_records(codes))}
    return ReportData(
        tree=xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **groups}),
        missing=reader.missing,
        run_axes=run_axes,
        setting_axes=setting_axes,
        evaluation_axes=evaluation_axes,
        exact_runs=frozenset(run.id for run in plan.runs if not run.train.network.is_trained),
        failures=reader.failures,
        codes=codes,
        choices=list(results.choices.values()),
    )


def _training(plan: Plan, reader: _GroupReader, runs: Grid) -> xr.Dataset:
    """Return the training curves and the cost of each run."""
    sources = [
        _Source(at, plan.paths.training_curves(run.id), run.dataset.id, reader.run_jobs[run.id])
        for run, at in zip(plan.runs, runs.positions, strict=True)
    ]
    points = max(10, min(CURVE_POINTS, ALL_CURVE_POINTS // len(plan.runs)))
    return reader.read("training", [runs], sources, points)


def _score_errors(plan: Plan, reader: _GroupReader) -> xr.Dataset:
    """Return the score errors of each run, with each of its weights that settings use.

    There are no values if the study does not measure them.
    """
    measured, paths, axes = plan.score_error_hash(), plan.paths, weights_axes(plan.study)
    samples = {_pick(setting.axes, axes): setting.sample for setting in plan.settings}
    is_only_best = all(sample.training_step == "best" for sample in samples.values())
    pairs = list(itertools.product(plan.runs, samples))
    points = [run.axes | dict(zip(axes, values, strict=True)) for run, values in pairs]
    ids = [run.id for run, _ in pairs]
    grid = grid_of(points, ids, "run")
    sources = [
        _Source(
            at,
            paths.score_error(run.id, run.weights_of(samples[values])),
            run.dataset.id,
            reader.run_jobs[run.id],
            measured,
        )
        for (run, values), at in zip(pairs, grid.positions, strict=True)
        if samples[values].training_step != "best" or is_only_best
    ]
    errors = reader.read("score error", [grid], sources if plan.measures_networks else [])
    return errors.assign(run=(tuple(grid.shape), grid.labels(ids)))


def _pick(point: Point, axes: Sequence[str]) -> tuple[Any, ...]:
    return tuple(point[axis] for axis in axes)


def _sampling(
    plan: Plan,
    reader: _GroupReader,
    jobs: Mapping[tuple[str, str], Job],
    runs: Grid,
    settings: Grid,
    reached: Mapping[tuple[str, str], Outcome],
    best_steps: Mapping[tuple[str, str], Choice],
) -> xr.Dataset:
    """Return the metrics, the parts of the error, and the cost of each setting of each run."""
    sources, costs, measured = [], [], plan.evaluate_hash()
    halving = HalvingCoordinates(runs.shape | settings.shape)
    for run, run_position in zip(plan.runs, runs.positions, strict=True):
        for setting, setting_position in zip(plan.settings, settings.positions, strict=True):
            at = run_position + setting_position
            outcome = reached.get((run.id, setting.store), Outcome(setting))
            halving.add(at, outcome)
            shown = outcome.setting
            path = plan.paths.metrics(run.id, shown.id)
            kind = f"{run.dataset.id} {shown.sample.count}"
            sources.append(_Source(at, path, kind, jobs[run.id, shown.id], measured))
            drawn = plan.paths.samples_manifest(run.id, setting.store)
            costs.append((at, read_sampling_cost(drawn, shown.sample.count)))
    sampling = reader.read("sampling", [runs, settings], sources)
    sampling = sampling.assign(compute_cost_dataset(runs.shape | settings.shape, costs))
    counts = halving.counts() if plan.halving else _counts(plan, settings)
    parts = split_errors(sampling, runs, plan.runs, counts if plan.halving else None)
    sampling = sampling.assign(n_generated=counts.astype(np.float64)).assign(parts)
    sampling = sampling.assign(best_steps_dataset(plan, runs, settings, best_steps))
    return sampling.assign_coords(halving.coordinates()) if plan.halving else sampling


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
    datasets, extractors = [dataset.id for dataset in plan.study.dataset], [*plan.extractors]
    facts = [
        ((row, column), read_cost(plan.reference(dataset, extractor)))
        for row, dataset in enumerate(datasets)
        for column, extractor in enumerate(extractors)
    ]
    shape = {"dataset": len(datasets), "extractor": len(extractors)}
    names = {"dataset": unique_values(datasets), "extractor": unique_values(extractors)}
    return compute_cost_dataset(shape, facts).assign_coords(names)


@dataclass
class _GroupReader:
    """Reads result files into arrays, and lists those that are missing."""

    run_jobs: Mapping[str, Job]
    outdated: Mapping[Path, str]
    """Files to leave out, with the reasons."""
    missing: list[MissingResult] = field(default_factory=list)
    failures: list[MetricFailure] = field(default_factory=list)

    def read(
        self,
        part: Part,
        grids: Sequence[Grid],
        sources: Sequence[_Source],
        curve_points: int = CURVE_POINTS,
    ) -> xr.Dataset:
        """Read `sources` into arrays over `grids`."""
        shape = {dim: size for grid in grids for dim, size in grid.shape.items()}
        state = np.full(tuple(shape.values()), "", dtype=object)
        builder, reader = ArrayBuilder(shape), NetcdfReader()
        for source in sources:
            try:
                variables = self._read_source(reader, source)
            except OSError as error:
                result = _missing(part, source, self.run_jobs[source.job.run], error)
                self.missing.append(result)
                state[source.position] = result.state
                continue
            builder.add(source.position, _subsample_curves(variables, curve_points))
            state[source.position] = "done"
        prefix = EVALUATE_PREFIX if part == "sampling" else ""
        costs = [(source.position, reader.compute_cost.get(source.path, {})) for source in sources]
        dataset = builder.dataset().assign(state=(tuple(shape), state))
        dataset = dataset.assign(compute_cost_dataset(shape, costs, prefix))
        for name in set(dataset.variables) & set(reader.attributes):
            dataset[name].attrs |= reader.attributes[str(name)]
        axes = {k: v for grid in grids for k, v in grid.coordinates.items()}
        _check_names(part, axes, dataset)
        return dataset.assign_coords(axes)

    def _read_source(self, reader: NetcdfReader, source: _Source) -> dict[str, Variable]:
        """Read one file, and list its metrics that failed."""
        if source.path in self.outdated:
            raise OutdatedError(self.outdated[source.path])
        variables = reader.read(source.path, source.kind, source.measured)
        run, setting = source.job.run, source.job.setting or ""
        for metric, reason in reader.problems.pop(source.path, {}).items():
            self.failures.append(MetricFailure(metric, run, setting, reason))
        return variables


def _check_names(part: Part, axes: Mapping[str, Any], dataset: xr.Dataset) -> None:
    """Raise `InputError` if a variable has the name of a swept axis."""
    if both := sorted(axes.keys() & {str(name) for name in dataset.variables}):
        raise InputError(
            f"the report's group {part} cannot hold a swept axis and a metric of the same name: "
            f"{', '.join(both)}. Give the metric another name, or add it to "
            f"scoresweep.pipeline.netcdf_attrs.VARIABLE_ATTRS, and the axis gets a longer one"
        )


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


def _labelled(group: xr.Dataset, options: Mapping[str, str], labels: Labels) -> xr.Dataset:
    """Describe every variable and coordinate; `options` are the paths of swept axes."""
    for name, variable in group.variables.items():
        if str(name) in options:
            is_number = variable.dtype.kind in "fi"
            variable.attrs |= label_of_option(options[str(name)], is_number=is_number)
            variable.attrs |= label_attribute(labels.get(str(name), {}))
        else:
            variable.attrs |= label(str(name))
    return group


def _attributes(plan: Plan) -> dict[str, Any]:
    """Return study and provenance as attributes that NetCDF can store."""
    study = json.dumps(content_with_defaults(plan.study), default=str)
    made = {
        key: json.dumps(value) if isinstance(value, dict | bool) else value
        for key, value in provenance().items()
    }
    if plan.study.methods:
        made["plugins"] = json.dumps(describe_methods(plan.study.methods), default=str)
    return {"schema_version": SCHEMA_VERSION, "study": plan.study.study, "config": study, **made}
