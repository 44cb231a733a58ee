"""Final metrics of the runs, for TensorBoard's HParams tab."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import pandas as pd
import xarray as xr

from scoresweep.report.summary import Metric
from scoresweep.study import Plan, Run

__all__ = ["write_final_metrics"]


def write_final_metrics(plan: Plan, wide: pd.DataFrame, metrics: Sequence[Metric]) -> None:
    """Write, beside the curves of each run, its options and what its best setting scores.

    `wide` has a row for each measured setting, `metrics` are the measures that can be ranked, the
    one that decides first.
    """
    from scoresweep.training.tracking import write_hparams

    for run in plan.runs:
        rows = wide[wide["run"] == run.id]
        if metrics and len(rows) and plan.layout.tensorboard(run.id).is_dir():
            best = rows.sort_values(metrics[0].name, ascending=metrics[0].better == "lower").iloc[0]
            write_hparams(
                plan.layout.tensorboard(run.id), run.options(), _final(plan, run, best, metrics)
            )


def _final(
    plan: Plan, run: Run, best: pd.Series[Any], metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return the training loss, every metric of the best setting, and that setting's values."""
    with xr.open_dataset(plan.layout.training_curves(run.id), engine="h5netcdf") as curves:
        final = {"final/training_loss": float(curves["loss"][-1])}
    final |= {f"final/{metric.name}": float(best[metric.name]) for metric in metrics}
    axes = plan.settings[0].axes
    return final | {f"best/{a}": float(best[a]) for a in axes if isinstance(best[a], Real)}
