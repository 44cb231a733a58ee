"""Final metrics of the runs, for TensorBoard's HParams tab."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.statistics.repeats import repeat_means
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.training.hparams_file import run_hparams, write_hparams

if TYPE_CHECKING:
    from pandas.core.groupby import SeriesGroupBy

__all__ = ["write_final_metrics"]


def write_final_metrics(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> None:
    """Write options and metrics of each run at its best setting next to its curves.

    The best setting, by the main metric, is written too; values are means over its samplings.
    `wide` has a row for each measured setting; `metrics` lists the metrics, the main one first.
    """
    losses, errors = _losses(data), _score_errors(data)
    for run in plan.runs:
        rows, options = wide[wide["run"] == run.id], run_hparams(run)
        if metrics:
            rows = rows[rows[metrics[0].name].notna()]
        rows = data.finalists(rows)
        quality, final = {}, dict[str, float]()
        if metrics and len(rows):
            best = _best(rows, metrics, [*data.setting_axes, *data.evaluation_axes])
            values = {metric.name: float(best[metric.name]) for metric in metrics}
            quality = {f"result/{name}": x for name, x in values.items() if not math.isnan(x)}
            final = dict(list(quality.items())[:1])
            for axis in plan.settings[0].axes:
                if is_repeat(axis):
                    continue
                if isinstance(best[axis], Real):
                    final[f"result/best_{axis}"] = float(best[axis])
                else:  # results must be numbers, options can be strings
                    options[f"best_{axis}"] = best[axis]
        final |= {"result/score_error": errors[run.id]} if run.id in errors else {}
        final |= {"result/training_loss": losses[run.id]} if run.id in losses else {}
        final |= quality
        if final and plan.paths.tensorboard(run.id).is_dir():
            write_hparams(plan.paths.tensorboard(run.id), options, final)


def _best(
    rows: pd.DataFrame, metrics: Sequence[RankedMetric], axes: Sequence[str]
) -> pd.Series[Any]:
    """Return the axes and metrics of a run's best setting, the mean over its samplings."""
    names = [metric.name for metric in metrics]
    means = repeat_means(rows, names, [axis for axis in axes if not is_repeat(axis)])
    return means.sort_values(names[0], ascending=metrics[0].better == "lower").iloc[0]


def _losses(data: ReportData) -> dict[str, float]:
    """Return the last training loss of each run that has one."""
    training = data.tree["training"].to_dataset()
    if "loss" not in training:
        return {}
    return _by_run(_values(training, "loss").last())


def _score_errors(data: ReportData) -> dict[str, float]:
    """Return ½ σ² E‖s − s*‖² on test points, the mean over the levels, of each measured run."""
    errors, name = data.tree["score_error"].to_dataset(), "score_error_sigma2"
    if name not in errors:
        return {}
    return _by_run(_values(errors.sel(split="test"), name).mean())


def _values(dataset: xr.Dataset, name: str) -> SeriesGroupBy[Any, Any]:
    """Return the values of a variable by run, in the order of its dimensions."""
    return dataset[["run", name]].to_dataframe().dropna(subset=name).groupby("run")[name]


def _by_run(series: pd.Series[float]) -> dict[str, float]:
    return {str(run): value for run, value in series.items()}
