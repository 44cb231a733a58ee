"""The tables of numbers on the page."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.best_configurations import best_configurations, with_count_of
from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_value,
    humanize,
    missing_repeats,
)
from scoresweep.pipeline.report.plots import rounded
from scoresweep.pipeline.report.sections.captioned_figure import varied_axes
from scoresweep.pipeline.report.statistics.repeats import NETWORK, SAMPLING, repeat_means
from scoresweep.pipeline.report.statistics.summary import RankedMetric, most_repeats
from scoresweep.pipeline.report.tables.axes import unique_values
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT, DROPPED_AT, IN_DOUBT
from scoresweep.pipeline.report.tables.report_data import ReportData

__all__ = ["best_rows", "cost_table", "interval_note", "number_table", "other_rows"]

TABLE_ROWS = 200
"""Maximum number of rows of the table of all numbers."""

TABLE_METRICS = 8
"""Maximum number of metrics in the table of all numbers."""

COST_ROWS = 30
"""Maximum number of rows of the table of costs."""

SCALE = (
    " Intervals of positive metrics without an upper limit are computed on a logarithmic scale; "
    "those of shares are cut off at 0 and 1."
)

SINGLE_NETWORK = (
    " A value of a single network has the interval of its samplings or, with one sampling, that "
    "from resampling its samples."
)

BEST_OF = (
    " The best of several settings is partly the luckiest, so its interval is longer on the worse "
    "side (Bonferroni)."
)


def best_rows(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[dict[str, str]]:
    """Return the best setting by the main metric and by each metric that ranks settings."""
    return [
        _row(metric, top.row, top.where, str(metric.about.get("note", "")), top.max_repeats)
        for metric in metrics
        if metric is metrics[0] or not metric.caveat
        for top in best_configurations(data, wide, metric)
    ]


def other_rows(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[dict[str, str]]:
    """Return the values of the best setting on the metrics that do not rank settings."""
    axes, rows = varied_axes(data), []
    for metric in metrics[1:]:
        if metric.caveat:
            points = data.summary.of(metric.name, wide)
            by_key = dict(zip(_keys(points, axes), points.to_dict("records"), strict=True))
            for top in best_configurations(data, wide, metrics[0]):
                row = by_key.get(tuple(top.row[axes].tolist()))
                if row is not None:
                    rows.append(_row(metric, row, top.where, metric.caveat, most_repeats(points)))
    return rows


def _row(
    metric: RankedMetric,
    row: Mapping[Any, Any] | pd.Series[Any],
    where: str,
    note: str,
    max_repeats: tuple[int, int],
) -> dict[str, str]:
    """Return a row of a table of metrics."""
    metric = with_count_of(row, metric)
    return {
        "metric": metric.title,
        "note": note,
        "better": metric.better,
        "where": where,
        "mean": format_number(row["mean"]),
        "n": ", ".join(t for t in (metric.count(), missing_repeats(row, max_repeats)) if t),
        "interval": format_interval(row) or "–",
        "real": format_number(row["real"]),
        "n_real": metric.count("real"),
        "noise": format_number(row["noise"]),
        "n_noise": metric.count("noise"),
    }


def cost_table(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> dict[str, Any] | None:
    """Split the main metric of trained networks into real samples, sampler and network."""
    split = [metric for metric in metrics if f"{metric.name}_network_cost" in wide]
    if not split:
        return None
    name, axes = split[0].name, varied_axes(data)
    trained = wide[~wide["run"].isin(data.exact_runs)]
    columns = [f"{name}_real", f"{name}_sampler_cost", f"{name}_network_cost", name]
    ordered = repeat_means(trained.dropna(subset=columns), columns, axes).sort_values(name)
    rows = [
        {
            "axes": [format_value(row[axis]) for axis in axes],
            "cells": [format_number(row[column]) for column in columns],
        }
        for row in ordered.head(COST_ROWS).to_dict("records")
    ]
    best_of = f"the best {COST_ROWS} of {len(ordered):,}" if len(ordered) > COST_ROWS else "all"
    lead = f"{split[0].title} of {best_of} settings of trained networks, means over all repeats."
    return {"rows": rows, "axes": [humanize(axis) for axis in axes], "lead": lead}


def number_table(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> dict[str, Any]:
    """Return the table of all configurations, the best ones if there are many.

    `place` of a row and of its axes, and `value` of a cell, are what `page.js` sorts by.
    """
    shown, axes = metrics[:TABLE_METRICS], varied_axes(data)
    if not shown:
        return {"rows": [], "axes": [], "metrics": [], "lead": "", "is_sorted": False}
    summaries = [data.summary.of(metric.name, wide) for metric in shown]
    main = summaries[0]
    ordered = main.sort_values("mean", ascending=shown[0].better == "lower")
    if COUNT in axes:  # values of unequal count are not compared
        ordered = ordered.sort_values(COUNT, ascending=False, kind="stable")
    keys = _keys(ordered, axes)[:TABLE_ROWS]
    cells = [dict(zip(_keys(s, axes), s.to_dict("records"), strict=True)) for s in summaries]
    exact = set(_keys(wide[wide["run"].isin(data.exact_runs)], axes))
    max_repeats = [_repeats_of_kinds(each, exact) for each in cells]
    marks, places = _halving_marks(wide, axes), _places(main, axes)
    rows = [
        {
            "where": format_axes(dict(zip(axes, key, strict=True))),
            "axes": [
                _axis_cell(value, places[axis]) for axis, value in zip(axes, key, strict=True)
            ],
            "place": places[""][key],
            "mark": marks.get(key, ""),
            "cells": [
                _cell(by.get(key), n[key in exact])
                for by, n in zip(cells, max_repeats, strict=True)
            ],
        }
        for key in keys
    ]
    lead = f"Means, each with its own 95 % interval, sorted by {shown[0].title}"
    lead += " within each count." if COUNT in axes else "."
    if len(main) > TABLE_ROWS:
        lead += f" The best {TABLE_ROWS} of {len(main):,}; metrics.csv has all."
    if len(metrics) > TABLE_METRICS:
        lead += f" {len(metrics) - TABLE_METRICS} more metrics are in metrics.csv."
    return {
        "rows": rows,
        "axes": [humanize(axis) for axis in axes],
        "metrics": [{"title": metric.title, "better": metric.better} for metric in shown],
        "lead": f"{lead} The best by each metric that ranks settings is in bold.",
        "is_sorted": COUNT not in axes,
    }


def _repeats_of_kinds(
    cells: Mapping[tuple[Any, ...], Mapping[Hashable, Any]], exact: Collection[tuple[Any, ...]]
) -> dict[bool, tuple[int, int]]:
    """Return the maximum repeats of exact scores (True) and of networks (False).

    Training seeds of the exact score are samplings of one network.
    """
    kinds: dict[bool, list[Mapping[Hashable, Any]]] = {True: [], False: []}
    for key, row in cells.items():
        kinds[key in exact].append(row)
    return {is_exact: most_repeats(pd.DataFrame(rows)) for is_exact, rows in kinds.items()}


def _places(summary: pd.DataFrame, axes: Sequence[str]) -> dict[str, dict[Any, int]]:
    """Return the place of each value of each axis, and of each row under the name ""."""
    values = {axis: unique_values(summary[axis].tolist()).tolist() for axis in axes}
    values[""] = _keys(summary, axes)
    return {axis: {value: i for i, value in enumerate(each)} for axis, each in values.items()}


def _axis_cell(value: Any, places: Mapping[Any, int]) -> dict[str, Any]:
    return {
        "text": format_value(value),
        "place": places[value],
        "is_number": not isinstance(value, str),
    }


def _halving_marks(wide: pd.DataFrame, axes: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """Return which configurations successive halving dropped, and if that is in doubt."""
    if DROPPED_AT not in wide:
        return {}
    dropped = wide[wide[DROPPED_AT] > 0].drop_duplicates(list(axes))
    texts = {"yes": "dropped, in doubt", "no": "dropped", "unknown": "dropped"}
    return dict(zip(_keys(dropped, axes), dropped[IN_DOUBT].map(texts), strict=True))


def _keys(summary: pd.DataFrame, axes: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of `axes` in each row."""
    return [tuple(key) for key in summary[list(axes)].to_numpy(dtype=object).tolist()]


def _cell(row: Mapping[Hashable, Any] | None, max_repeats: tuple[int, int]) -> dict[str, Any]:
    if row is None:
        return {"mean": "–", "value": None, "notes": [], "is_best": False}
    notes = format_interval(row), missing_repeats(row, max_repeats)
    return {
        "mean": format_number(row["mean"]),
        "value": rounded(row["mean"]),
        "notes": [note for note in notes if note],
        "is_best": row["place"] == 1,
    }


def interval_note(data: ReportData, wide: pd.DataFrame) -> str:
    """Explain the values and intervals of the tables."""
    trained = wide[~wide["run"].isin(data.exact_runs)]
    axes, rows = varied_axes(data), trained if len(trained) else wide
    networks = _max_repeats(rows, axes, NETWORK)
    samplings = _max_repeats(rows, [*axes, NETWORK], SAMPLING)
    resampled = any(f"{column}_low" in wide for column in wide)
    kind = "one network" if len(trained) else "the exact score"
    if networks > 1:
        each = f" × {samplings} samplings each" if samplings > 1 else ""
        text = (
            f"Each value is the mean of {networks} networks (training seeds){each}, with Student's "
            f"95 % interval of the network means, which is wide for few networks."
        )
    elif samplings > 1:
        text = f"Each value is the mean of {samplings} samplings of {kind}"
        text += ", with Student's 95 % interval."
    else:
        text = f"Each value is one sampling of {kind}"
        text += ", with the 95 % interval from resampling its samples." if resampled else "."
    if networks <= 1 and len(trained):
        text += " It holds for this network only: another training seed may give other values."
    if max(networks, samplings) > 1:
        text += SCALE
        text += SINGLE_NETWORK if networks > 1 and resampled else ""
    if resampled or max(networks, samplings) > 1:
        text += BEST_OF
    if 0 < len(trained) < len(wide):
        text += " The exact score is left out; it is the reference for the networks."
    return text


def _max_repeats(rows: pd.DataFrame, axes: Sequence[str], column: str) -> int:
    """Return the maximum number of values of a column at a point of `axes`."""
    counts = rows.groupby(list(axes))[column].nunique() if axes else rows[[column]].nunique()
    return int(counts.max()) if len(rows) else 0
