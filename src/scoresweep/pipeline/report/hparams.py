"""Final metrics of the runs, for TensorBoard's HParams tab."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.statistics.repeats import repeat_means
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.axes import weights_axes
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.training.hparams_file import run_hparams, write_hparams

__all__ = ["write_final_metrics"]


def write_final_metrics(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> None:
    """Write options and metrics of each run at its best setting next to its curves.

    The best setting, by the main metric, is written too; values are means over its samplings.
    `wide` has a row for each measured setting; `metrics` lists the metrics, the main one first.
    """
    axes = weights_axes(plan.study)
    losses, errors = _losses(data), _score_errors(data, axes)
    is_measured = bool(metrics) and wide[metrics[0].name].notna().any()
    all_best = _best(data, wide, metrics) if is_measured else {}
    for run in plan.runs:
        options = run_hparams(run)
        quality, final, key = {}, dict[str, float](), (run.id,)
        if run.id in all_best:
            best = all_best[run.id]
            key += tuple(best[axis] for axis in axes)
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
        final |= {"result/score_error": errors[key]} if key in errors else {}
        final |= {"result/training_loss": losses[run.id]} if run.id in losses else {}
        final |= quality
        if final and plan.paths.tensorboard(run.id).is_dir():
            write_hparams(plan.paths.tensorboard(run.id), options, final)


def _best(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> dict[str, pd.Series[Any]]:
    """Return the axes and metrics of each run's best setting, the mean over its samplings."""
    names = [metric.name for metric in metrics]
    axes = [axis for axis in (*data.setting_axes, *data.evaluation_axes) if not is_repeat(axis)]
    measured = wide[wide[names[0]].notna()]
    rows = pd.concat([data.finalists(rows) for _, rows in measured.groupby("run")])
    means = repeat_means(rows, names, ["run", *axes]).groupby("run")
    is_lower = metrics[0].better == "lower"
    return {str(run): rows.sort_values(names[0], ascending=is_lower).iloc[0] for run, rows in means}


def _losses(data: ReportData) -> dict[str, float]:
    """Return the last training loss of each run that has one."""
    training = data.tree["training"].to_dataset()
    if "loss" not in training:
        return {}
    last = training[["run", "loss"]].to_dataframe().dropna(subset="loss").groupby("run")["loss"]
    return {str(run): value for run, value in last.last().items()}


def _score_errors(data: ReportData, axes: Sequence[str]) -> dict[tuple[Any, ...], float]:
    """Return ½ σ² E‖s − s*‖² on test points, the mean over the levels, of each measured run.

    The keys are the run and the values of `axes`, which choose its weights.
    """
    errors, name = data.tree["score_error"].to_dataset(), "score_error_sigma2"
    if name not in errors:
        return {}
    frame = errors[["run", name]].sel(split="test").to_dataframe().reset_index()
    means = frame.dropna(subset=name).groupby(["run", *axes])[name].mean()
    return {key if isinstance(key, tuple) else (key,): value for key, value in means.items()}
