"""Set the reports of two studies side by side, setting by setting.

Settings are matched by what they are: by the value, in both studies, of every option that either of
them sweeps. Where one study does not sweep an option, it has the one value that its configuration
gives. Networks and samplings are repeats, as in a report: what both reports have of the same
training and sampling seeds is compared in pairs.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_value, is_repeat
from scoresweep.pipeline.report.statistics.repeats import NETWORK, SAMPLING, label_repeats
from scoresweep.pipeline.report.statistics.side_by_side import SIDES, side_by_side
from scoresweep.pipeline.report.statistics.summary import RankedMetric, best, main_metric, summarise
from scoresweep.pipeline.report.tables.axes import axis_options
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.report.tables.ranking import ranking_metrics
from scoresweep.pipeline.report.tables.report_data import SCHEMA_VERSION, ReportData
from scoresweep.pipeline.study import Plan, Run, Setting, parse_study, plan_study
from scoresweep.pipeline.study.axis_names import axis_value
from scoresweep.pipeline.study.config import Config, hashed_fields
from scoresweep.pipeline.study.plan import Evaluation

__all__ = ["SIDES", "Comparison", "Difference", "Report", "compare", "read_report"]

SCORE_ERROR = "score_error_sigma2"
"""The measure of a network, whatever samples it: the mean over the levels, on test points."""

BLOCKS = ("dataset", "train", "sample", "evaluate")

SEEDS = ("train.seed", "sample.seed")
"""Options that tell networks and samplings apart, whether they are swept or not."""

MADE_BY = ("extractor", "resize", "units", "n_real", "n_generated")
"""Attributes of a measure that make its values another thing where they differ."""

UNIMPORTANT = frozenset({"metrics", "extractors", "resamplings"})
"""Options of `evaluate` that say what is measured, and change no value that is."""


@dataclass(frozen=True)
class Report:
    """A `report.nc` that has been read."""

    path: Path
    about: dict[str, Any]
    """Attributes of the file: commit, versions, machine."""
    plan: Plan
    rows: pd.DataFrame
    """A row for each measured setting, as `wide_table` gives it."""
    measures: dict[str, RankedMetric]
    exact: frozenset[str]
    """Hashes (the ends of ids) of runs with the exact score, which compete with nobody."""

    @functools.cached_property
    def axes(self) -> dict[str, str]:
        """Dotted path of every swept option, its block in front, to its name in the report."""
        return {path: name for name, path in axis_options(self.plan.study).items()}

    @functools.cached_property
    def options(self) -> dict[str, list[Any]]:
        """Every option that affects a result, by dotted path, to the values that occur."""
        plan = self.plan
        blocks = {
            "": [{"dataset": run.dataset.id} for run in plan.runs],
            "train.": [hashed_fields(run.train) for run in plan.runs],
            "sample.": [hashed_fields(setting.sample) for setting in plan.settings],
            "evaluate.": [hashed_fields(one.evaluate) for one in plan.evaluations],
        }
        return {
            f"{block}{path}": list({_text(value): None for value in values})
            for block, content in blocks.items()
            for path, values in pd.json_normalize(content, sep=".").items()
        }


@dataclass(frozen=True)
class Difference:
    """An option that both studies keep at one value, and not at the same."""

    path: str
    values: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """What two reports have in common, and what not."""

    reports: tuple[Report, Report]
    axes: list[str]
    """Names of the options that either study sweeps, but for repeats."""
    differences: list[Difference]
    warnings: list[str]
    """What makes values something else in A than in B."""
    incomparable: dict[str, str]
    """Measures whose values cannot be compared, and why."""
    tables: dict[str, pd.DataFrame]
    """Of each measure that both have, the main one first: a row for each setting that either has,
    with `A` and `B` (means), `A_low` and so on (95 % intervals), `A_networks` and `A_samplings`
    (how many have a value), `difference` (B − A), `ratio` (B / A), `difference_low` and
    `difference_high`, what that interval comes from (`over`: "networks", "samplings" of one network
    or "samples"), and `verdict`. The interval of the difference allows for the number of settings
    that both have: all verdicts of a measure together are right in 95 % (Bonferroni)."""
    best: dict[str, tuple[pd.Series[Any], pd.Series[Any]]]
    """Of each such measure, the row of the best setting of A and that of B."""
    alone: tuple[list[str], list[str]]
    """Measures that one of the reports has and the other has not."""

    def axes_of(self, measure: str) -> list[str]:
        """Return the columns that tell the rows of a measure's table apart."""
        return [axis for axis in self.axes if axis in self.tables[measure].columns]


# ── one report ──────────────────────────────────────────────────────────────────────────────────


def read_report(path: Path) -> Report:
    """Read a `report.nc`.

    Raises `InputError` where there is none, it is damaged or something else, it was written by
    another version, or holds no measured setting.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected the report.nc of a study")
    try:
        about = dict(xr.load_dataset(path, engine="h5netcdf").attrs)
        _check_version(path, about)
        groups = {
            name: xr.load_dataset(path, group=name, engine="h5netcdf")
            for name in ("sampling", "score_error")
        }
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected the whole report.nc of a study. "
            f"`scoresweep report STUDY` writes it anew"
        ) from error
    study = parse_study(json.loads(about["config"]), f"{path}: attribute config")
    plan = plan_study(study, path.parent, where=str(path))
    run, setting, evaluation = plan.runs[0], plan.settings[0], plan.evaluations[0]
    exact = frozenset(run.id[-8:] for run in plan.runs if not run.train.network.is_trained)
    tree, swept = xr.DataTree.from_dict(groups), (run.axes, setting.axes, evaluation.axes)
    on_runs, on_settings, on_evaluations = (list(axes) for axes in swept)
    rows = wide_table(ReportData(tree, [], on_runs, on_settings, on_evaluations))
    if rows.empty:
        raise InputError(f"{path}: holds no measured setting; there is nothing to compare")
    measures = {metric.name: metric for metric in ranking_metrics(groups["sampling"], rows)}
    errors = _network_errors(groups["score_error"])
    if errors:
        rows[SCORE_ERROR] = rows["run"].map(errors)
        title = "score error σ² of the network, mean over levels"
        measures[SCORE_ERROR] = RankedMetric(SCORE_ERROR, title, "lower", {"valid_min": 0.0})
    return Report(path, about, plan, rows, measures, exact)


def _check_version(path: Path, about: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the file is a report of the version that this program writes."""
    found = about.get("schema_version")
    if found is None or "config" not in about:
        raise InputError(
            f"{path}: is no report of scoresweep (it has no attribute schema_version and config); "
            f"expected the report.nc of a study"
        )
    if found != SCHEMA_VERSION:
        raise InputError(
            f"{path}: its schema_version is {found}, expected {SCHEMA_VERSION}: another version of "
            f"scoresweep wrote it. Write both reports with one version: `scoresweep report STUDY`"
        )


def _network_errors(score_error: xr.Dataset) -> dict[str, float]:
    """Return ½ σ² E‖s − s*‖² on test points, the mean over the levels, of each measured run."""
    if SCORE_ERROR not in score_error:
        return {}
    errors = score_error[["run", SCORE_ERROR]].sel(split="test").to_dataframe()
    means = errors.groupby("run")[SCORE_ERROR].mean().dropna()
    return {str(run): value for run, value in means.items()}


# ── two reports ─────────────────────────────────────────────────────────────────────────────────


def compare(a: Report, b: Report) -> Comparison:
    """Match the settings of two reports and compare every measure that both have.

    Raises `InputError` where they have no measure in common.
    """
    reports = (a, b)
    common = [name for name in a.measures if name in b.measures]
    if not common:
        has = [f"{r.path} has {', '.join(r.measures) or 'none'}" for r in reports]
        raise InputError(f"the reports have no measure in common: {'; '.join(has)}")
    paths = {path: name for r in (b, a) for path, name in r.axes.items()}
    in_order = dict.fromkeys([*a.axes, *b.axes])
    paths = {p: paths[p] for p in sorted(in_order, key=lambda p: BLOCKS.index(p.split(".")[0]))}
    names = _distinct({path: name for path, name in paths.items() if not is_repeat(name)})
    frames = _with_axes(reports, names)
    seeds = [path for path, name in paths.items() if is_repeat(name)]
    frames = _with_repeats(reports, frames, list(dict.fromkeys([*SEEDS, *seeds])))
    differences = _differences(a, b, list(paths))
    incomparable = {name: _incomparable_reason(name, a, b, differences) for name in common}
    incomparable = {name: why for name, why in incomparable.items() if why}
    main = main_metric([a.measures[name] for name in common])
    tables, winners = {}, {}
    for name in sorted(common, key=lambda name: main is None or name != main.name):
        measure, axes, kept = a.measures[name], list(names.values()), frames
        if name == SCORE_ERROR:
            axes = [name for path, name in names.items() if path.startswith(("dataset", "train."))]
            kept = [frame.drop_duplicates("run") for frame in frames]
        tables[name] = side_by_side(kept, measure, axes, name in incomparable)
        competing = [_ranked(r, frame) for r, frame in zip(reports, kept, strict=True)]
        rows = [best(summarise(frame, measure, axes), measure) for frame in competing]
        winners[name] = (rows[0], rows[1])
    return Comparison(
        reports=reports,
        axes=list(names.values()),
        differences=differences,
        warnings=_warnings(a, b, differences),
        incomparable=incomparable,
        tables=tables,
        best=winners,
        alone=(
            [name for name in a.measures if name not in common],
            [name for name in b.measures if name not in common],
        ),
    )


def _ranked(report: Report, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compete: those of networks, or all where there are none."""
    trained = frame[~frame["run"].str[-8:].isin(report.exact)]
    return trained if len(trained) else frame


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Return `names` of paths, those that two paths share made longer."""
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {path: path if name in shared else name for path, name in names.items()}


def _with_axes(reports: Sequence[Report], names: Mapping[str, str]) -> list[pd.DataFrame]:
    """Return the rows of each report with the value of every path as a column of that name."""
    columns = [{name: _column(report, path) for path, name in names.items()} for report in reports]
    for name in names.values():
        both = [value for column in columns for value in column[name]]
        if not all(isinstance(value, int | float) for value in both):
            for column in columns:
                column[name] = [format_value(value) for value in column[name]]
    return [
        r.rows.drop(columns=list(column), errors="ignore").assign(**column)
        for r, column in zip(reports, columns, strict=True)
    ]


def _with_repeats(
    reports: Sequence[Report], frames: Sequence[pd.DataFrame], paths: Sequence[str]
) -> list[pd.DataFrame]:
    """Return the rows with their repeats labelled by the seeds at `paths`."""
    found = []
    for report, frame in zip(reports, frames, strict=True):
        seeds = pd.DataFrame({path: _column(report, path) for path in paths}, frame.index)
        trained, sampled = (
            [path for path in paths if path.startswith(block)] for block in ("train.", "sample.")
        )
        exact = frame["run"].str[-8:].isin(report.exact)
        labels = label_repeats(seeds, trained, sampled, exact)
        found.append(frame.assign(**{c: labels[c] for c in (NETWORK, SAMPLING)}))
    return found


def _column(report: Report, path: str) -> list[Any]:
    """Return the value of an option in every row of a report, as a coordinate."""
    plan, rows = report.plan, report.rows
    runs = {run.id[-8:]: run for run in plan.runs}
    settings = {setting.id[-8:]: setting for setting in plan.settings}
    axes = list(plan.evaluations[0].axes)
    evaluations = {tuple(map(format_value, one.axes.values())): one for one in plan.evaluations}
    asked = rows[axes].itertuples(index=False) if axes else [()] * len(rows)
    try:
        return [
            _value(
                path,
                runs[run[-8:]],
                settings[setting[-8:]],
                evaluations[tuple(map(format_value, e))],
            )
            for run, setting, e in zip(rows["run"], rows["setting"], asked, strict=True)
        ]
    except KeyError as error:
        raise InputError(
            f"{report.path}: {error} is no point of the study that it holds; another version of "
            f"scoresweep wrote it. Write both reports with one version: `scoresweep report STUDY`"
        ) from None


def _value(path: str, run: Run, setting: Setting, evaluation: Evaluation) -> Any:
    """Return the value of an option at a point, as a coordinate; "–" where it has no such option.

    A block is called by its name and the options that are not at their default.
    """
    if path == "dataset":
        return run.dataset.id
    block, *parts = path.split(".")
    value: Any = {"train": run.train, "sample": setting.sample, "evaluate": evaluation.evaluate}
    value = functools.reduce(lambda v, part: getattr(v, part, "–"), parts, value[block])
    if isinstance(value, Config):
        return axis_value(
            {"name": getattr(value, "name", ""), **value.model_dump(exclude_defaults=True)}
        )
    return axis_value(value)


def _text(value: Any) -> str:
    """Write the value of an option; "–" where there is no such option."""
    if isinstance(value, float) and np.isnan(value):
        return "–"
    return format_value(axis_value(value))


def _differences(a: Report, b: Report, swept: Sequence[str]) -> list[Difference]:
    """Return the options that neither study sweeps and that have another value in A than in B."""
    found = []
    for path in dict.fromkeys([*a.options, *b.options]):
        if any(f"{path}.".startswith(f"{axis}.") for axis in swept):
            continue
        ours, theirs = (report.options.get(path, ["–"]) for report in (a, b))
        if ours != theirs:
            found.append(Difference(path, (", ".join(ours), ", ".join(theirs))))
    return found


def _incomparable_reason(name: str, a: Report, b: Report, differences: Sequence[Difference]) -> str:
    """Say why the values of a measure cannot be compared; "" where they can."""
    reasons = []
    made_by = {key: [r.measures[name].about.get(key, "–") for r in (a, b)] for key in MADE_BY}
    for key, values in {"dataset": [r.options["dataset"] for r in (a, b)], **made_by}.items():
        ours, theirs = (np.atleast_1d(value).tolist() for value in values)
        # Where one of them has several (more datasets, say), rows are matched by what differs.
        if not set(ours) & set(theirs):
            sides = (" or ".join(map(str, side)) for side in (ours, theirs))
            reasons.append(f"{key} {' | '.join(sides)}")
    if name == SCORE_ERROR:
        reasons += [
            f"{d.path} {d.values[0]} | {d.values[1]}"
            for d in differences
            if d.path.startswith("train.noise.")
        ]
    return "; ".join(reasons)


def _warnings(a: Report, b: Report, differences: Sequence[Difference]) -> list[str]:
    """Return what else a reader has to know before comparing values."""
    found = []
    for difference in differences:
        block, _, option = difference.path.partition(".")
        if block == "evaluate" and option not in UNIMPORTANT:
            found.append(
                f"measured with another {difference.path}: {' | '.join(difference.values)}"
            )
    commits = [str(r.about.get("commit", ""))[:12] or "unknown" for r in (a, b)]
    if commits[0] != commits[1]:
        found.append(f"reported by other commits: {' | '.join(commits)}")
    return found
