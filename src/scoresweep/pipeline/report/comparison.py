"""Compare the reports of two studies, setting by setting.

Settings are matched by the values of all options that either study sweeps; a study that does not
sweep an option has the value of its configuration. Networks and samplings are repeats, as in a
report: results of the same training and sampling seeds are compared in pairs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_value
from scoresweep.pipeline.report.saved_report import SCORE_ERROR, Report
from scoresweep.pipeline.report.statistics.repeats import NETWORK, SAMPLING, label_repeats
from scoresweep.pipeline.report.statistics.side_by_side import SIDES, side_by_side
from scoresweep.pipeline.report.statistics.summary import best, main_metric, summarise
from scoresweep.pipeline.study import Run, Setting
from scoresweep.pipeline.study.axis_names import axis_value, is_repeat
from scoresweep.pipeline.study.config import Config
from scoresweep.pipeline.study.plan import Evaluation

__all__ = ["SIDES", "Comparison", "Difference", "compare"]

BLOCKS = ("dataset", "train", "sample", "evaluate")

SEEDS = ("train.seed", "sample.seed")
"""Options that distinguish networks and samplings, swept or not."""

MADE_BY = (
    *("metric_key", "extractor", "extractor_key"),
    *("resize", "units", "n_real", "n_generated", "real_statistics_sha256", "splits"),
)
"""Attributes of a metric that must agree for values to be comparable; keys are those of plugins."""

UNIMPORTANT = frozenset({"metrics", "extractors", "resamplings"})
"""Options of `evaluate` that affect no value of a metric."""


@dataclass(frozen=True)
class Difference:
    """An option that neither study sweeps and that differs."""

    path: str
    values: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """What two reports have in common, and how they differ."""

    reports: tuple[Report, Report]
    axes: list[str]
    """Names of the options that either study sweeps, except repeats."""
    differences: list[Difference]
    warnings: list[str]
    """Reasons for caution when values of A and B are compared."""
    incomparable: dict[str, str]
    """Metrics whose values cannot be compared, with the reasons."""
    tables: dict[str, pd.DataFrame]
    """A table for each common metric, the main one first: a row for each setting in either report,
    with `A` and `B` (means), `A_low` and so on (95 % intervals), `A_networks` and `A_samplings`
    (how many have a value), `difference` (B − A), `ratio` (B / A), `difference_low` and
    `difference_high`, the source of that interval (`over`: "networks", "samplings" of one network
    or "samples"), and `verdict`, which names no better side if bad samples can score well. The
    interval of the difference is corrected for the number of settings in both: all verdicts of a
    metric hold together in 95 % of cases (Bonferroni)."""
    best: dict[str, tuple[pd.Series[Any], pd.Series[Any]]]
    """For each metric by which both reports rank settings, the rows of the best of A and of B."""
    only_in: tuple[list[str], list[str]]
    """Metrics that only A has, and those that only B has."""

    def axes_of(self, metric: str) -> list[str]:
        """Return the axes of a metric's table."""
        return [axis for axis in self.axes if axis in self.tables[metric].columns]


def compare(a: Report, b: Report) -> Comparison:
    """Match the settings of two reports and compare every common metric.

    Raises `InputError` if they have no metric in common.
    """
    reports, common, paths = (a, b), _common_metrics(a, b), _axis_names(a, b)
    names = _distinct({path: name for path, name in paths.items() if not is_repeat(name)})
    frames = _with_axes(reports, names)
    seeds = [path for path, name in paths.items() if is_repeat(name)]
    frames = _with_repeats(reports, frames, list(dict.fromkeys([*SEEDS, *seeds])))
    differences = _differences(a, b, list(paths))
    incomparable = {name: _incomparable_reason(name, a, b, differences) for name in common}
    incomparable = {name: why for name, why in incomparable.items() if why}
    main = main_metric([a.metrics[name] for name in common])
    tables, winners = {}, {}
    for name in sorted(common, key=lambda name: main is None or name != main.name):
        metric, axes, metric_frames = a.metrics[name], list(names.values()), frames
        if name == SCORE_ERROR:
            axes = [name for path, name in names.items() if path.startswith(("dataset", "train."))]
            metric_frames = [frame.drop_duplicates("run") for frame in frames]
        is_ranking = name in a.ranking & b.ranking
        has_winners = is_ranking or name == SCORE_ERROR
        tables[name] = side_by_side(metric_frames, metric, axes, name in incomparable, has_winners)
        if is_ranking:
            competing = [_ranked(r, frame) for r, frame in zip(reports, metric_frames, strict=True)]
            rows = [best(summarise(frame, metric, axes), metric) for frame in competing]
            winners[name] = (rows[0], rows[1])
    return Comparison(
        reports=reports,
        axes=list(names.values()),
        differences=differences,
        warnings=_warnings(a, b, differences),
        incomparable=incomparable,
        tables=tables,
        best=winners,
        only_in=(
            [name for name in a.metrics if name not in common],
            [name for name in b.metrics if name not in common],
        ),
    )


def _common_metrics(a: Report, b: Report) -> list[str]:
    """Return the metrics in both reports; raise `InputError` if there are none."""
    common = [name for name in a.metrics if name in b.metrics]
    if not common:
        has = [f"{r.path} has {', '.join(r.metrics) or 'none'}" for r in (a, b)]
        raise InputError(f"the reports have no metric in common: {'; '.join(has)}")
    return common


def _axis_names(a: Report, b: Report) -> dict[str, str]:
    """Return the name of each axis by its path, in the order of the blocks of a study."""
    names = {path: name for r in (b, a) for path, name in r.axes.items()}
    paths = dict.fromkeys([*a.axes, *b.axes])
    return {p: names[p] for p in sorted(paths, key=lambda p: BLOCKS.index(p.split(".")[0]))}


def _ranked(report: Report, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to rank: those of networks, or all if there are none."""
    trained = frame[~frame["run"].str[-8:].isin(report.exact)]
    return trained if len(trained) else frame


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Return `names` of paths, with the path itself if two share a name."""
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
    labelled = []
    for report, frame in zip(reports, frames, strict=True):
        seeds = pd.DataFrame({path: _column(report, path) for path in paths}, frame.index)
        trained, sampled = (
            [path for path in paths if path.startswith(block)] for block in ("train.", "sample.")
        )
        exact = frame["run"].str[-8:].isin(report.exact)
        labels = label_repeats(seeds, trained, sampled, exact)
        labelled.append(frame.assign(**{c: labels[c] for c in (NETWORK, SAMPLING)}))
    return labelled


def _column(report: Report, path: str) -> list[Any]:
    """Return the value of an option in every row of a report, as a coordinate."""
    plan, rows = report.plan, report.rows
    runs = {run.id[-8:]: run for run in plan.runs}
    settings = {setting.id[-8:]: setting for setting in plan.settings}
    axes = list(plan.evaluations[0].axes)
    evaluations = {
        tuple(map(format_value, point.axes.values())): point for point in plan.evaluations
    }
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
            f"{report.path}: {error} is not a point of its study; another version of scoresweep "
            f"wrote it. Write it again with this version: `scoresweep report STUDY`"
        ) from None


def _value(path: str, run: Run, setting: Setting, evaluation: Evaluation) -> Any:
    """Return the value of an option at a point, as a coordinate; "–" if there is no such option.

    A block is written as its name and the options that differ from their defaults.
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


def _differences(a: Report, b: Report, swept: Sequence[str]) -> list[Difference]:
    """Return the options that neither study sweeps and that differ between A and B."""
    differences = []
    for path in dict.fromkeys([*a.options, *b.options]):
        if any(f"{path}.".startswith(f"{axis}.") for axis in swept):
            continue
        ours, theirs = (report.options.get(path, ["–"]) for report in (a, b))
        if ours != theirs:
            differences.append(Difference(path, (", ".join(ours), ", ".join(theirs))))
    return differences


def _incomparable_reason(name: str, a: Report, b: Report, differences: Sequence[Difference]) -> str:
    """Explain why the values of a metric cannot be compared; "" if they can."""
    reasons = []
    made_by = {key: [r.metrics[name].about.get(key, "–") for r in (a, b)] for key in MADE_BY}
    for key, values in {"dataset": [r.options["dataset"] for r in (a, b)], **made_by}.items():
        ours, theirs = (np.atleast_1d(value).tolist() for value in values)
        # If a side has several values (datasets, say), rows are matched by them.
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
    """Return reasons for caution when values are compared."""
    warnings = []
    for difference in differences:
        block, _, option = difference.path.partition(".")
        if block == "evaluate" and option not in UNIMPORTANT:
            warnings.append(
                f"measured with different {difference.path}: {' | '.join(difference.values)}"
            )
    commits = [str(r.about.get("commit", ""))[:12] or "unknown" for r in (a, b)]
    if commits[0] != commits[1]:
        warnings.append(f"reported by different commits: {' | '.join(commits)}")
    return warnings
