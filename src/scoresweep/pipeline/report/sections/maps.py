"""Metrics over the axes of a study: heat maps of two axes, or lines along one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.format import format_axes, format_value, humanize
from scoresweep.pipeline.report.plots import (
    Axis,
    Cell,
    HeatMap,
    Line,
    LineChart,
    is_wide_range,
    rounded,
)
from scoresweep.pipeline.report.sections.captioned_figure import (
    CaptionedFigure,
    captioned,
    file_name,
    incomparable_axes,
    varied_axes,
)
from scoresweep.pipeline.report.sections.metric_data import (
    LOG_FACTOR,
    MetricData,
    explained_std,
    metrics_of,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric, best_first, group_by_axes
from scoresweep.pipeline.report.tables.frames import planned_table
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study.axis_names import is_repeat

__all__ = ["axis_pairs", "cost_maps", "metric_maps"]

MAPS = 6
"""Maximum number of heat maps of the main metric, one for each pair of axes."""

COST_METRICS = 3
"""Maximum number of metrics whose costs have maps."""

LADDER = ("levels", "noise", "sigma_max", "sigma_min", "rho", "sigmas")
"""Axes of the noise ladder: the first choice for the rows of a heat map."""


def metric_maps(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Iterator[CaptionedFigure]:
    """Yield maps of every metric; the first metric has one for each pair of axes.

    Each dataset and each point of the evaluation grid has maps of its own.
    """
    for metric in metrics:
        max_maps = MAPS if metric is metrics[0] else 1
        for metric_data in itertools.islice(metrics_of(data, wide, [metric]), 1):
            yield from _maps(data, metric_data, max_maps)


def cost_maps(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Iterator[CaptionedFigure]:
    """Yield maps of the sampler's and the network's part of the first metrics."""
    split = [metric for metric in metrics if f"{metric.name}_sampler_cost" in wide]
    for metric_data in metrics_of(data, wide, split[:COST_METRICS]):
        if metric_data.note:
            yield from _maps(data, metric_data, 1)


def _maps(data: ReportData, metric_data: MetricData, max_maps: int) -> Iterator[CaptionedFigure]:
    name, incomparable = metric_data.metric.name, incomparable_axes(data)
    for key, part in group_by_axes(metric_data.rows[metric_data.rows[name].notna()], incomparable):
        if part[name].nunique() == 1:
            continue  # a map of one value shows nothing
        where = dict(zip(incomparable, key, strict=True))
        part_data = replace(metric_data, rows=part)
        for pair in axis_pairs(data, part, name)[:max_maps]:
            yield _map(data, part_data, pair, where)


def axis_pairs(data: ReportData, rows: pd.DataFrame, metric: str) -> list[list[str]]:
    """Return what to draw a metric over: pairs of axes, or the only axis that varies.

    Pairs over which the metric varies most come first.
    """
    varied = [axis for axis in data.axes if rows[axis].nunique() > 1 and not is_repeat(axis)]
    varied = [axis for axis in varied if axis not in incomparable_axes(data)]
    varied.sort(key=lambda axis: set(rows[axis]) <= {"true", "false"})  # numbers first
    down = sorted((a for a in varied if a in data.run_axes), key=lambda a: a not in LADDER)
    across = [a for a in varied if a in data.setting_axes]
    crossed = [[x, y] for y, x in itertools.product(down, across)]
    any_two = [[a, b] for b, a in itertools.combinations(varied, 2)]
    for pairs in (crossed, any_two):
        if independent := [pair for pair in pairs if not _vary_together(rows, pair)]:
            return sorted(independent, key=lambda pair: -explained_std(rows, metric, pair))
    return [[axis] for axis in varied]


def _vary_together(rows: pd.DataFrame, pair: list[str]) -> bool:
    """Return whether one axis follows from the other (zipped axes): a map would have gaps."""
    return len(rows[pair].drop_duplicates()) == int(rows[pair].nunique().max())


def _map(
    data: ReportData, metric_data: MetricData, pair: list[str], where: dict[str, Any]
) -> CaptionedFigure:
    cells = metric_data.best_over_other_axes(varied_axes(data), pair)
    others = [axis for axis in varied_axes(data) if axis not in (*pair, *where)]
    others = [humanize(axis) for axis in others if metric_data.rows[axis].nunique() > 1]
    title = ", ".join(part for part in (metric_data.metric.title, format_axes(where)) if part)
    sentences = [metric_data.lead, metric_data.best_note(cells, pair[::-1])]
    if others:
        by = (
            ""
            if metric_data.metric is metric_data.ranked_by
            else f", by {metric_data.ranked_by.title}"
        )
        sentences.append(f"Each value is at the best {' and '.join(others)}{by}.")
    sentences.append(metric_data.details(cells))
    chart: HeatMap | LineChart
    if len(pair) == 2:
        missing = _missing_cells(data, cells, pair, where)
        if len(cells) + len(missing) < math.prod(cells[axis].nunique() for axis in pair):
            sentences.append("The study has no settings at empty cells.")
        chart = _heat_map(metric_data, pd.concat([cells, missing]), pair, title)
    else:
        chart = _line_chart(metric_data, cells, pair[0], title)
    name = file_name("metric", metric_data.metric.name, *pair, *where.values())
    return captioned(name, title, " ".join(s for s in sentences if s), chart)


def _missing_cells(
    data: ReportData, cells: pd.DataFrame, pair: list[str], where: dict[str, Any]
) -> pd.DataFrame:
    """Return the planned points of `pair` between measured ones that have no result."""
    planned = planned_table(data)
    for axis in pair:
        planned = planned[planned[axis].isin(cells[axis])]
    for axis, value in where.items():
        planned = planned[planned[axis] == value] if axis in planned else planned
    points = planned[pair].drop_duplicates()
    measured = pd.MultiIndex.from_frame(cells[pair])
    return points[~pd.MultiIndex.from_frame(points).isin(measured)].assign(
        text="missing", interval=""
    )


def _heat_map(metric_data: MetricData, cells: pd.DataFrame, pair: list[str], title: str) -> HeatMap:
    x, y = pair
    columns, rows = _values(cells, x), _values(cells, y)
    best = best_first(cells, metric_data.metric).iloc[0]
    return HeatMap(
        title=title,
        x=humanize(x),
        y=humanize(y),
        columns=[format_value(value) for value in columns],
        rows=[format_value(value) for value in rows],
        cells=[
            Cell(
                columns.index(c[x]), rows.index(c[y]), rounded(c["mean"]), c["text"], c["interval"]
            )
            for c in cells.to_dict("records")
        ],
        lower_is_better=metric_data.metric.better == "lower",
        log=metric_data.is_log(cells.dropna(subset="mean")),
        best=(columns.index(best[x]), rows.index(best[y])) if metric_data.ranks else None,
    )


def _line_chart(metric_data: MetricData, cells: pd.DataFrame, axis: str, title: str) -> LineChart:
    """Return a metric along one axis, with the value of real samples."""
    values = _values(cells, axis)
    cells = cells.set_index(axis).loc[values]
    is_number = all(isinstance(value, int | float) for value in values)
    x = [float(v) for v in values] if is_number else [float(i) for i in range(len(values))]
    low, high = (cells[side].fillna(cells["mean"]).tolist() for side in ("low", "high"))
    lines = [Line(metric_data.metric.title, x, cells["mean"].tolist(), low, high)]
    references = metric_data.metric.references(cells[["real", "noise"]].mean())
    if cells["real"].notna().any():
        real = [float(cells["real"].mean())] * 2
        lines.append(Line(references[0], [x[0], x[-1]], real, colour="#666666", dash="dot"))
    ticks = list(zip(x, [format_value(value) for value in values], strict=True))
    log = is_number and is_wide_range(x, LOG_FACTOR)
    return LineChart(Axis(humanize(axis), log, ticks), Axis(title), lines, error_bars=True)


def _values(cells: pd.DataFrame, axis: str) -> list[Any]:
    """Return the values along an axis: numbers ascending, strings in file order."""
    values = list(dict.fromkeys(cells[axis].tolist()))
    return sorted(values) if cells[axis].dtype.kind in "fiu" else values
