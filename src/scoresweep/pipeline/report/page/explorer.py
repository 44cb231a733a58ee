"""The numbers and text of the interactive explorer.

Python computes, rounds and formats a cell for every configuration and metric; `explorer.js` only
selects which of them to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.format import format_number, format_value, humanize
from scoresweep.pipeline.report.plots import rounded
from scoresweep.pipeline.report.sections.captioned_figure import incomparable_axes
from scoresweep.pipeline.report.sections.maps import axis_pairs
from scoresweep.pipeline.report.sections.metric_data import MetricData, metrics_of, subsets
from scoresweep.pipeline.report.statistics.summary import RankedMetric, group_by_axes
from scoresweep.pipeline.report.tables.axes import unique_values
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.study.labels import Labels

__all__ = ["explorer"]

CELLS = 150_000
"""Maximum number of cells of all metrics; larger studies omit the last metrics."""

ALL = -1
"""Index along an axis of repeats: the mean over all of them."""


def explorer(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric], labels: Labels
) -> dict[str, Any] | None:
    """Return axes, points and metrics for `explorer.js`; None if no axis varies.

    A point holds an index along each axis. `left_out` counts the metrics beyond `CELLS`. `data`
    has `labels` in place of the values that have some; the keys of values, which stand in the
    address of the page, have none.
    """
    axes = [axis for axis in data.axes if wide[axis].nunique() > 1] if metrics else []
    varied = [axis for axis in axes if not is_repeat(axis)]
    if not varied:
        return None
    values = {axis: unique_values(wide[axis].tolist()).tolist() for axis in axes}
    index = {axis: {value: i for i, value in enumerate(v)} for axis, v in values.items()}
    repeats = [axis for axis in axes if is_repeat(axis)]
    apart = [axis for axis in incomparable_axes(data) if axis in axes]
    points: dict[tuple[int, ...], int] = {}
    for shown in subsets(repeats):
        for key in wide[[*varied, *shown]].drop_duplicates().to_dict("records"):
            points[_point(key, index)] = len(points)
    metrics_data = list(metrics_of(data, wide, metrics))
    shown_metrics = metrics_data[: max(1, CELLS // len(points))]
    x, *y = next(iter(axis_pairs(data, wide, metrics[0].name)), varied)[:2]
    return {
        "axes": [_axis(axis, values[axis], axis in apart, labels.get(axis, {})) for axis in axes],
        "points": list(points),
        "measures": [
            _metric_json(m, shown_metrics, varied, repeats, index, points)
            | {"references": _references(m, m.cells(varied), apart, index)}
            for m in shown_metrics
        ],
        "left_out": len(metrics_data) - len(shown_metrics),
        "x": axes.index(x),
        "y": axes.index(y[0]) if y else None,
    }


def _point(key: dict[Any, Any], index: dict[str, dict[Any, int]]) -> tuple[int, ...]:
    """Return the index of `key` along each axis."""
    return tuple(positions[key[axis]] if axis in key else ALL for axis, positions in index.items())


def _axis(
    axis: str, values: list[Any], is_incomparable: bool, labels: Mapping[Any, str]
) -> dict[str, Any]:
    unlabelled = {label: value for value, label in labels.items()}
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return {
        "key": axis,
        "name": humanize(axis),
        "values": [format_value(value) for value in values],
        "keys": [format_value(unlabelled.get(value, value)) for value in values],
        "numbers": values if is_number else None,
        "repeat": is_repeat(axis),
        "apart": is_incomparable,
    }


def _metric_json(
    metric_data: MetricData,
    shown_metrics: list[MetricData],
    varied: list[str],
    repeats: list[str],
    index: dict[str, dict[Any, int]],
    points: dict[tuple[int, ...], int],
) -> dict[str, Any]:
    """Return a metric with its numbers and text at each of `points`."""
    columns = {key: key for key in ("mean", "low", "high", "text", "interval")}
    columns |= {"few": "missing_repeats"}
    filled: dict[str, list[Any]] = {key: [None] * len(points) for key in columns}
    means = metric_data.cells(varied)
    for shown in subsets(repeats):
        cells = metric_data.cells([*varied, *shown]) if shown else means
        for cell in cells.to_dict("records"):
            at = points[_point({axis: cell[axis] for axis in (*varied, *shown)}, index)]
            for key, column in columns.items():
                value = cell[column]
                filled[key][at] = rounded(value) if isinstance(value, float) else value
    metrics = [other.metric for other in shown_metrics]
    return {
        "key": metric_data.metric.name,
        "title": metric_data.metric.title,
        "lower": metric_data.metric.better == "lower",
        "ranks": metric_data.ranks,
        "judge": metrics.index(metric_data.ranked_by),
        "log": metric_data.is_log(means),
        "lead": metric_data.lead,
        **filled,
    }


def _references(
    metric_data: MetricData,
    means: pd.DataFrame,
    apart: list[str],
    index: dict[str, dict[Any, int]],
) -> dict[str, dict[str, Any]]:
    """Return what is said about the values at each point of the axes that are not compared.

    The keys are the indices along these axes, such as "0,2". The key "" is for values of several
    points, which have no common value of real samples.
    """
    found: dict[str, dict[str, Any]] = {
        "": {"details": metric_data.details(means), "real": None, "realText": ""}
    }
    for key, cells in group_by_axes(means, apart):
        point = dict(zip(apart, key, strict=True))
        real = float(cells["real"].mean())
        found[",".join(str(index[axis][value]) for axis, value in point.items())] = {
            "details": metric_data.details(cells, point.get(COUNT)),
            "real": rounded(real),
            "realText": f"real test samples {format_number(real)}",
        }
    return found
