"""Read the `report.nc` of a study."""

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
from scoresweep.pipeline.report.format import format_value
from scoresweep.pipeline.report.statistics.summary import RankedMetric, main_metric
from scoresweep.pipeline.report.tables.axes import axis_options, weights_axes
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.report.tables.ranking import ranking_metrics
from scoresweep.pipeline.report.tables.report_data import SCHEMA_VERSION, ReportData
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.axis_names import axis_value
from scoresweep.pipeline.study.config import hashed_fields
from scoresweep.pipeline.study.plugins.stand_ins import stand_ins

__all__ = ["SCORE_ERROR", "Report", "format_option", "read_report"]

SCORE_ERROR = "score_error_sigma2"
"""The metric of a network without sampling: the mean over the levels, on test points."""


@dataclass(frozen=True)
class Report:
    """The contents of a `report.nc`."""

    path: Path
    about: dict[str, Any]
    """Attributes of the file: commit, versions, machine."""
    plan: Plan
    rows: pd.DataFrame
    """A row for each measured setting, as `wide_table` gives it. Those that successive halving
    dropped are left out: values of unequal count are not compared."""
    metrics: dict[str, RankedMetric]
    exact: frozenset[str]
    """Hashes (the ends of ids) of runs with the exact score, which are not ranked."""

    @functools.cached_property
    def axes(self) -> dict[str, str]:
        """Dotted path of every swept option, including its block, to its name in the report."""
        return {path: name for name, path in axis_options(self.plan.study).items()}

    @functools.cached_property
    def ranking(self) -> frozenset[str]:
        """Names of the metrics by which the page ranks settings.

        They are the main one and those that bad samples cannot win; a score error is of networks.
        """
        of_samples = [metric for name, metric in self.metrics.items() if name != SCORE_ERROR]
        main = main_metric(of_samples)
        return frozenset(m.name for m in of_samples if m is main or not m.caveat)

    @functools.cached_property
    def options(self) -> dict[str, list[Any]]:
        """Dotted path of every option that affects a result, to its values."""
        plan = self.plan
        blocks = {
            "": [{"dataset": run.dataset.id} for run in plan.runs],
            "train.": [hashed_fields(run.train) for run in plan.runs],
            "sample.": [hashed_fields(setting.sample) for setting in plan.settings],
            "evaluate.": [hashed_fields(evaluation.evaluate) for evaluation in plan.evaluations],
        }
        return {
            f"{block}{path}": list({format_option(value): None for value in values})
            for block, content in blocks.items()
            for path, values in pd.json_normalize(content, sep=".").items()
        }


def read_report(path: Path) -> Report:
    """Read a `report.nc`.

    Raises `InputError` if it is missing, damaged, not a report, of another version, or has no
    measured setting.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the report.nc of a study")
    try:
        about = dict(xr.load_dataset(path, engine="h5netcdf").attrs)
        _check_version(path, about)
        groups = {
            name: xr.load_dataset(path, group=name, engine="h5netcdf")
            for name in ("sampling", "score_error")
        }
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected the report.nc of a study. "
            f"`scoresweep report STUDY` writes it again"
        ) from error
    methods = stand_ins(json.loads(about.get("plugins", "[]")))
    study = parse_study(json.loads(about["config"]), f"{path}: attribute config", methods=methods)
    plan = plan_study(study, path.parent, where=str(path))
    run, setting, evaluation = plan.runs[0], plan.settings[0], plan.evaluations[0]
    exact = frozenset(run.id[-8:] for run in plan.runs if not run.train.network.is_trained)
    tree, swept = xr.DataTree.from_dict(groups), (run.axes, setting.axes, evaluation.axes)
    on_runs, on_settings, on_evaluations = (list(axes) for axes in swept)
    data = ReportData(tree, [], on_runs, on_settings, on_evaluations)
    rows = data.finalists(wide_table(data)).reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{path}: no measured setting, so there is nothing to compare")
    ranking = data.metrics_of_finalists(rows, ranking_metrics(groups["sampling"], rows))
    metrics = {metric.name: metric for metric in ranking}
    if SCORE_ERROR in groups["score_error"]:
        rows = _with_network_errors(rows, groups["score_error"], weights_axes(study))
        title = "score error σ² of the network, mean over levels"
        metrics[SCORE_ERROR] = RankedMetric(SCORE_ERROR, title, "lower", {"valid_min": 0.0})
    return Report(path, about, plan, rows, metrics, exact)


def _check_version(path: Path, about: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the file is a report of the current version."""
    version = about.get("schema_version")
    if version is None or "config" not in about:
        raise InputError(
            f"{path}: not a report of scoresweep (attribute schema_version or config is missing); "
            f"expected the report.nc of a study"
        )
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version is {version}, expected {SCHEMA_VERSION}; another version of "
            f"scoresweep wrote it. Write it again with this version: `scoresweep report STUDY`"
        )


def _with_network_errors(
    rows: pd.DataFrame, score_error: xr.Dataset, axes: Sequence[str]
) -> pd.DataFrame:
    """Return `rows` with ½ σ² E‖s − s*‖² on test points, the mean over the levels.

    It is that of the row's run, and of the weights that its `axes` choose.
    """
    errors = score_error[["run", SCORE_ERROR]].sel(split="test").to_dataframe().reset_index()
    keys = ["run", *axes]
    return rows.join(errors.groupby(keys)[SCORE_ERROR].mean(), on=keys)


def format_option(value: Any) -> str:
    """Write the value of an option; "–" if there is no such option."""
    if isinstance(value, float) and np.isnan(value):
        return "–"
    return format_value(axis_value(value))
