"""The summary of a report as a group of `report.nc` and as one long table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from scoresweep.pipeline.netcdf_attrs import label_of_option
from scoresweep.pipeline.report.statistics.report_summary import ReportSummary
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.axes import grid_of
from scoresweep.pipeline.report.tables.labels import label_attribute
from scoresweep.pipeline.study.labels import Labels

__all__ = ["METRIC_FACTS", "free_name", "summary_frame", "summary_group"]

COLUMNS = {
    "mean": "mean over networks of the means over their samplings",
    "low": "lower end of the 95 % interval of the mean",
    "high": "upper end of the 95 % interval of the mean",
    "networks": "number of networks with a value",
    "samplings": "number of samplings with a value, of all networks",
    "interval_from": "source of the interval: networks, samplings of one network, or samples",
    "rank": "rank of the mean, from 1 (best), among settings whose values can be compared",
    "difference": "mean minus that of the best, over the networks and samplings of both",
    "difference_low": "lower end of the 95 % interval of the difference",
    "difference_high": "upper end of the 95 % interval of the difference",
    "difference_from": "source of that interval: networks, samplings of one network, or samples",
    "pairs": "number of networks of the difference",
    "is_tied": "1 if not worse than the best, after correction for all comparisons; 0 if worse",
    "best_low": "lower end of the interval of the best, corrected for choosing it",
    "best_high": "upper end of the interval of the best, corrected for choosing it",
    "real": "value of real test samples",
    "noise": "value of uniform noise",
    "error": "standard error of the mean",
    "freedom": "degrees of freedom of the standard error; inf: normal distribution",
}
"""Long names of the numbers of a configuration."""

NO_LABELS: Labels = MappingProxyType({})

TEXTS = ("interval_from", "difference_from")
COUNTS = ("networks", "samplings", "pairs")

METRIC_FACTS = {
    "title": "name of the metric",
    "better": "better values: lower or higher",
    "units": "unit of the metric",
    "extractor": "feature extractor",
    "resize": "resize of the extractor",
    "n_generated": "number of samples drawn",
    "n_real": "number of real samples",
    "caveat": "bad samples that score well; then the metric does not rank",
    "note": "note on the metric",
}
"""Long names of the facts about a metric."""


def summary_frame(summary: ReportSummary, labels: Labels = NO_LABELS) -> pd.DataFrame:
    """Return a row for each metric and configuration, the best of each metric first.

    An axis with `labels` has a second column, such as `sampler_label`.
    """
    parts = []
    for name, table in summary.tables.items():
        ordered = table.sort_values([*summary.within, "place"], kind="stable")
        numbers = _numbers(ordered, summary.metrics[name])
        axes = ordered[list(summary.axes)]
        for place, axis in [*enumerate(summary.axes, start=1)][::-1]:
            if known := labels.get(axis):
                shown = [known.get(value, value) for value in axes[axis]]
                axes.insert(place, f"{axis}_label", shown)
        axes = axes.rename(columns=free_name)
        facts = {key: _facts(summary.metrics[name])[key] for key in ("better", "extractor")}
        parts.append(pd.concat([axes.assign(metric=name), numbers.assign(**facts)], axis=1))
    if not parts:
        return pd.DataFrame(columns=["metric", *COLUMNS, "better", "extractor"])
    return pd.concat(parts, ignore_index=True)


def summary_group(
    summary: ReportSummary,
    rows: pd.DataFrame,
    options: Mapping[str, str],
    labels: Labels = NO_LABELS,
) -> xr.Dataset:
    """Return the numbers over `metric` and the swept axes, with long names.

    `rows` has every measured setting, in the order of the study; `options` are the paths of swept
    axes, and `labels` the labels of their values. Coordinates along `metric` are facts about it.
    Attributes: `axes`, and `compared_within`, those whose values are not compared.
    """
    axes = [free_name(axis) for axis in summary.axes]
    points = rows[list(summary.axes)].set_axis(axes, axis=1).drop_duplicates()
    records = _records(points) or [{}]
    names = [", ".join(f"{k}={v}" for k, v in record.items()) for record in records]
    grid = grid_of(records, names, "configuration")
    places = dict(zip(map(_key, records), grid.positions, strict=True))
    shape = (len(summary.tables), *grid.shape.values())
    arrays = {column: _empty(column, shape) for column in COLUMNS}
    for index, (name, table) in enumerate(summary.tables.items()):
        numbers = _numbers(table, summary.metrics[name]).to_dict("records")
        keys = _records(table[list(summary.axes)].set_axis(axes, axis=1))
        for key, row in zip(keys, numbers, strict=True):
            for column, value in row.items():
                arrays[str(column)][(index, *places[_key(key)])] = value
    dims = ("metric", *grid.shape)
    variables = {
        column: (dims, array, {"long_name": COLUMNS[column]}) for column, array in arrays.items()
    }
    within = [free_name(axis) for axis in summary.within]
    dataset = xr.Dataset(variables, attrs={"axes": axes, "compared_within": within})
    dataset = dataset.assign_coords(grid.coordinates | _metric_coordinates(summary))
    return _described(dataset, options, labels)


def _described(dataset: xr.Dataset, options: Mapping[str, str], labels: Labels) -> xr.Dataset:
    """Describe the coordinates of axes."""
    if "configuration" in dataset.coords:
        dataset["configuration"].attrs["long_name"] = "values of the swept axes but seeds"
    for axis, path in options.items():
        if (coordinate := dataset.coords.get(free_name(axis))) is not None:
            is_number = coordinate.dtype.kind in "fi"
            coordinate.attrs |= label_of_option(path, is_number=is_number)
            coordinate.attrs |= label_attribute(labels.get(axis, {}))
    return dataset


def _records(points: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a dictionary for each row; without columns, all rows are the same one."""
    if points.columns.empty:
        return [{}] if len(points) else []
    return [{str(axis): value for axis, value in row.items()} for row in points.to_dict("records")]


def _key(record: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(record.values())


def free_name(axis: str) -> str:
    """Return the name of an axis, with a prefix if it is that of a column."""
    return f"option_{axis}" if axis in (*COLUMNS, *METRIC_FACTS) else axis


def _empty(column: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if column in TEXTS:
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=np.int64) if column in COUNTS else np.full(shape, np.nan)


def _numbers(table: pd.DataFrame, metric: RankedMetric) -> pd.DataFrame:
    """Return the numbers of each configuration under the names of the file.

    The difference is signed: above 0 if the mean is higher than that of the best.
    """
    sign = 1 if metric.better == "lower" else -1
    ends = ("gap_low", "gap_high") if sign == 1 else ("gap_high", "gap_low")
    tied = (1 - table["behind"].astype(float)).where(table["gap_low"].notna() | table["is_best"])
    values = {
        "interval_from": table["level"],
        "rank": table["place"],
        "difference": sign * table["gap"].astype(float),
        "difference_low": sign * table[ends[0]].astype(float),
        "difference_high": sign * table[ends[1]].astype(float),
        "difference_from": table["gap_level"],
        "pairs": table["pairs"],
        "is_tied": tied,
    }
    return table.assign(**values)[list(COLUMNS)]


def _facts(metric: RankedMetric) -> dict[str, str]:
    """Return the facts of `METRIC_FACTS` as text; "" if unknown."""
    about: dict[str, Any] = {"title": metric.title, "better": metric.better, **metric.about}
    about["n_generated"] = metric.sizes.get("", "")
    return {key: _text(about.get(key, "")) for key in METRIC_FACTS}


def _text(value: Any) -> str:
    return ", ".join(map(str, np.atleast_1d(value).tolist()))


def _metric_coordinates(summary: ReportSummary) -> dict[str, Any]:
    facts = {name: _facts(metric) for name, metric in summary.metrics.items()}
    columns = {"metric": list(facts)}
    columns |= {key: [fact[key] for fact in facts.values()] for key in METRIC_FACTS}
    names = {"metric": "metric", **METRIC_FACTS}
    return {
        key: ("metric", np.array(values, dtype=object), {"long_name": names[key]})
        for key, values in columns.items()
    }
