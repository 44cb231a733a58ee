"""Published values beside the measured ones of the same configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.sections.captioned_figure import to_frame, varied_axes
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import RankedMetric, summarise
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.study.published import Published
from scoresweep.pipeline.study.published_checks import LIKELIHOOD

__all__ = ["PublishedValue", "published_dataset", "published_values"]

NOT_MEASURED = dict.fromkeys(("mean", "low", "high"), np.nan) | {"networks": 0, "samplings": 0}

LABELS: dict[str, tuple[str, str]] = {
    "metric": ("name of the measure", ""),
    "published": ("published value", "1"),
    "value": ("value of this study, the mean over repeats; NaN: not measured", "1"),
    "low": ("lower end of the 95 % interval of the value of this study", "1"),
    "high": ("upper end of the 95 % interval of the value of this study", "1"),
    "networks": ("number of networks behind the value of this study", "1"),
    "samplings": ("number of samplings behind the value of this study", "1"),
    "n_generated": ("number of samples of this study; NaN: the measure needs none", "1"),
    "configuration": ("values of the swept axes, as JSON", ""),
    "source": ("where the value is published", ""),
    "protocol": ("how the source measured it", ""),
}
"""Long name and unit of the variables of the group `published`."""


class PublishedValue(NamedTuple):
    """A published value and that of one configuration of the study."""

    entry: Published
    published: float
    metric: RankedMetric
    axes: dict[str, Any]
    """The configuration: the values of the swept axes, without repeats."""
    row: dict[Any, Any]
    """Its row of `summarise`; NaN if it is not measured."""
    n_generated: float
    """Number of samples; NaN if the measure needs none."""


def published_values(
    plan: Plan, data: ReportData, rows: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[PublishedValue]:
    """Return each published value with every configuration that it is of.

    Args:
        plan: the study.
        data: what it measured.
        rows: the measured settings, as `wide_table` gives them.
        metrics: the metrics that rank settings.
    """
    known = {metric.name: metric for metric in metrics}
    found: list[PublishedValue] = []
    for entry in plan.study.published:
        for name, value in entry.values.items():
            metric = known.get(name, RankedMetric(name, name.replace("_", " "), "lower", {}))
            part = _likelihoods(data) if name == LIKELIHOOD else rows
            found += _beside(entry, value, metric, _matching(plan, entry, part), varied_axes(data))
    return found


def _beside(
    entry: Published, value: float, metric: RankedMetric, rows: pd.DataFrame, axes: Sequence[str]
) -> Iterable[PublishedValue]:
    """Yield a published value with each configuration in `rows`, or with none."""
    axes = [axis for axis in axes if axis in rows]
    measured = rows[rows[metric.name].notna()] if metric.name in rows else rows[:0]
    if measured.empty:
        yield PublishedValue(entry, value, metric, {}, NOT_MEASURED, np.nan)
        return
    counts = measured.get("n_generated", pd.Series(np.nan, measured.index))
    for row in summarise(measured, metric, axes).to_dict("records"):
        point = {str(axis): row[axis] for axis in axes}
        alike = np.logical_and.reduce([measured[a] == v for a, v in point.items()] or [[True]])
        count = counts[np.broadcast_to(alike, len(measured))].max()
        yield PublishedValue(entry, value, metric, point, row, float(count))


def _matching(plan: Plan, entry: Published, rows: pd.DataFrame) -> pd.DataFrame:
    """Return those of `rows` that a published value is of."""
    runs = {run.id for run in plan.runs if entry.is_of(dataset=run.dataset, train=run.train)}
    is_of = rows["run"].isin(runs)
    if "setting" in rows:
        settings = plan.settings_by_id().items()
        is_of &= rows["setting"].isin(
            {id_ for id_, setting in settings if entry.is_of(sample=setting.sample)}
        )
    points = [e.axes for e in plan.evaluations if entry.is_of(evaluate=e.evaluate)]
    axes = [axis for axis in plan.evaluations[0].axes if axis in rows]
    if axes:
        kept = pd.DataFrame(points)[axes].drop_duplicates()
        is_of &= pd.MultiIndex.from_frame(rows[axes]).isin(pd.MultiIndex.from_frame(kept))
    return rows[is_of]


def _likelihoods(data: ReportData) -> pd.DataFrame:
    """Return the bits per dimension of the test samples, a row for each network."""
    errors = data.tree["score_error"].to_dataset()
    if LIKELIHOOD not in errors:
        return pd.DataFrame({"run": []})
    names = [f"{LIKELIHOOD}{end}" for end in ("", "_low", "_high")]
    frame = to_frame(errors[["run", *names]].sel(split="test", drop=True))
    seeds = [axis for axis in data.run_axes if is_repeat(axis)]
    labelled = label_repeats(frame, seeds, [], frame["run"].isin(data.exact_runs))
    return labelled[~labelled["run"].isin(data.exact_runs)]


def published_dataset(values: Sequence[PublishedValue]) -> xr.Dataset:
    """Return published and measured values along the dimension `entry`, for `report.nc`."""
    columns: dict[str, list[Any]] = {
        "metric": [each.metric.name for each in values],
        "published": [each.published for each in values],
        "value": [each.row["mean"] for each in values],
        "low": [each.row["low"] for each in values],
        "high": [each.row["high"] for each in values],
        "networks": [int(each.row["networks"]) for each in values],
        "samplings": [int(each.row["samplings"]) for each in values],
        "n_generated": [each.n_generated for each in values],
        "configuration": [json.dumps(each.axes, default=_plain) for each in values],
        "source": [each.entry.source for each in values],
        "protocol": [each.entry.protocol or "" for each in values],
    }
    variables = {}
    for name, column in columns.items():
        long_name, units = LABELS[name]
        attrs = {"long_name": long_name} | ({"units": units} if units else {})
        array = np.array(column, dtype=None if units else object)
        variables[name] = ("entry", array, attrs)
    note = "published values may differ from those of this study in everything the protocol names"
    return xr.Dataset(variables, attrs={"note": note})


def _plain(value: Any) -> Any:
    """Return a NumPy number as a Python one."""
    return value.item()
