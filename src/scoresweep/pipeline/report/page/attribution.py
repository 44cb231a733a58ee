"""Whether the sampler or the network limits the best setting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.format import format_number, format_repeats, humanize
from scoresweep.pipeline.report.sections.captioned_figure import varied_axes
from scoresweep.pipeline.report.statistics.repeats import (
    by_repeat,
    over_repeats,
    repeat_means,
    student_half_width,
    without_rounding_errors,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.best_steps import BEST_STEP
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan

__all__ = ["attribution"]


def attribution(
    plan: Plan,
    data: ReportData,
    part: pd.DataFrame,
    top: pd.Series[Any],
    metric: RankedMetric,
    edges: Sequence[str],
) -> str:
    """Split the best value into the sampler's and the network's part, as far as it is known.

    `part` has the rows of all settings, `top` the axes of the best one. `edges` are the sampler's
    axes along which the best is at the edge of its grid: then a better setting may exist, and the
    text says so.
    """
    axes, name = varied_axes(data), metric.name
    rows = part[(part[axes] == top[axes]).all(axis="columns")] if axes else part
    if set(rows["run"]) <= data.exact_runs:
        return f"The score is exact, so the sampler causes the whole error.{_edge_note(edges)}"
    columns = [f"{name}_real", f"{name}_sampler_cost", f"{name}_network_cost"]
    if not set(columns) <= set(rows) or rows[columns].isna().all().any():
        return (
            "Unknown: add the network “oracle” (the exact score) to the study's grid to separate "
            f"the two. {_score_error(data, rows)}"
        )
    measured = rows.dropna(subset=[name, *columns])
    measured = measured.assign(_difference=measured[columns[2]] - measured[columns[1]])
    means = repeat_means(measured, [name, *columns], []).iloc[0]
    value, real, sampler, network = without_rounding_errors(means, abs(means[name])).tolist()
    text = (
        f"Of {format_number(value)}, real samples account for {format_number(real)}, the sampler "
        f"for {format_number(sampler)} and the network for {format_number(network)}: "
        f"{_larger_part(sampler, network)}{_uncertainty(measured)}."
    )
    if sampler > max(network, 0) / 2:
        text += _edge_note(edges)
    if not _is_mixture(plan, str(rows["run"].iloc[0])):
        text += (
            " The exact score is that of the training set, so it reproduces training samples; the "
            "network's part includes the price of new samples."
        )
    return text


def _edge_note(edges: Sequence[str]) -> str:
    """Restrict the claim if the best is at the edge of the grid."""
    if not edges:
        return ""
    names = " and ".join(humanize(axis) for axis in edges)
    return (
        f" The best {names} {'is' if len(edges) == 1 else 'are'} at the edge of the grid, so a "
        f"setting outside it may lower the sampler's part: extend the grid before blaming the "
        f"sampler."
    )


def _larger_part(sampler: float, network: float) -> str:
    less, more = sorted((sampler, network))
    if more <= 0:
        return "neither adds to the error"
    if less > more / 2:
        return "at this setting both matter"
    return f"at this setting the {'network' if network > sampler else 'sampler'} matters more"


def _uncertainty(measured: pd.DataFrame) -> str:
    """Say if repeats disagree on which part is larger; `_difference` is network minus sampler."""
    difference = over_repeats(by_repeat(measured, "_difference", [])[1][0])
    if not abs(difference.mean) <= student_half_width(difference.error, difference.freedom):
        return ""
    over = format_repeats(int(difference.networks), int(difference.samplings))
    return f", but over {over} it is uncertain which part is larger"


def _score_error(data: ReportData, rows: pd.DataFrame) -> str:
    """Return the score error of the network at the largest and the smallest level."""
    errors, name = data.tree["score_error"].to_dataset(), "score_error_relative"
    if name not in errors:
        return "The score error was not measured."
    places = np.argwhere(np.isin(errors["run"].values.astype(str), rows["run"].unique()))
    points = [dict(zip(errors["run"].dims, place, strict=True)) for place in places.tolist()]
    points = [point for point in points if _has_weights(errors.isel(point), rows)]
    parts = [errors[[name, "sigma"]].isel(point).sel(split="train") for point in points]
    frames = [part.to_dataframe().reset_index().dropna() for part in parts]
    levels = pd.concat(frames).groupby("level")[["sigma", name]].mean() if frames else None
    if levels is None or levels.empty:
        return "The score error was not measured."
    texts = [
        f"{float(f'{100 * row[name]:.2g}'):,g} % at σ = {format_number(row['sigma'])}"
        for row in levels.to_dict("records")
    ]
    ends = texts[0] if len(texts) == 1 else f"{texts[0]} and {texts[-1]}"
    is_best = BEST_STEP in rows and rows[BEST_STEP].notna().any()
    at = " after the last training step" if is_best else ""
    return (
        f"The relative score error of the network{at} on training points, E‖s − s*‖² / E‖s*‖², is "
        f"{ends}; see “Score error” for all levels."
    )


def _has_weights(errors: xr.Dataset, rows: pd.DataFrame) -> bool:
    """Return whether errors at a point are of weights, such as a training step, of `rows`."""
    axes = [str(axis) for axis in errors.coords if axis in rows and errors[axis].ndim == 0]
    return all(errors[axis].item() in rows[axis].tolist() for axis in axes)


def _is_mixture(plan: Plan, run: str) -> bool:
    """Return whether the exact score is that of the distribution, not of the training set."""
    path = plan.paths.dataset_manifest(plan.run(run).dataset.id)
    if not path.exists():
        return True
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return manifest.get("attributes", {}).get("mixture") is not None
