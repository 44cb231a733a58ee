"""The cells of a table, with the best marked and those that are not worse."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_value, humanize
from scoresweep.pipeline.report.paper_table.caption import caption
from scoresweep.pipeline.report.saved_summary import SavedSummary
from scoresweep.pipeline.report.statistics.repeats import student_half_width

__all__ = ["Cell", "Column", "PaperTable", "paper_table"]


@dataclass(frozen=True)
class Cell:
    """A mean with its interval; NaN is unknown."""

    mean: float
    low: float
    high: float
    mark: Literal["", "best", "tied"]
    """"tied": not the best, and not worse than it by more than the interval of the difference."""


@dataclass(frozen=True)
class Column:
    """The heading of a column."""

    group: str
    """Heading that adjacent columns share: the metric, or the axes; "" without."""
    label: str


@dataclass(frozen=True)
class PaperTable:
    """A table before it is written in a format."""

    name: str
    caption: list[str]
    """Sentences."""
    heads: list[str]
    """Names of the axes along the rows."""
    columns: list[Column]
    rows: list[tuple[list[str], list[Cell | None]]]
    """Labels and cells of each row; None has no result."""


def paper_table(
    summary: SavedSummary,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    metrics: Sequence[str] = (),
    at: Sequence[str] = (),
) -> PaperTable:
    """Arrange the summary of a report: axes along rows and columns, metrics side by side.

    `metrics` is the main one by default; `at` fixes other axes ("levels=10").
    Raises `InputError` for an unknown axis, value or metric, an axis named twice, and axes that
    vary within a cell.
    """
    down = [summary.axis(name, "--rows") for name in rows]
    across = [summary.axis(name, "--columns") for name in columns]
    named = [*down, *across]
    if twice := next((axis for axis in named if named.count(axis) > 1), None):
        raise InputError(f"--rows, --columns: {twice} is named twice; name each axis once")
    names = [summary.metric(name) for name in metrics] or list(summary.metrics)[:1]
    chosen = summary.at(at)
    shown = dict.fromkeys(down, "--rows") | dict.fromkeys(across, "--columns")
    cells = chosen.cells(names, shown, "--rows or --columns")
    cells, is_paired = _marked(cells, chosen)
    by_key = {
        (row["metric"], *(row[axis] for axis in named)): _cell(row)
        for row in cells.to_dict("records")
    }
    row_keys, column_keys = _points(cells, down), _points(cells, across)
    headings = list(itertools.product(names, column_keys))
    return PaperTable(
        name="-".join([summary.path.parent.name or "table", *names]),
        caption=caption(chosen, cells, names, is_paired),
        heads=[humanize(axis) for axis in down],
        columns=[_column(summary, name, names, across, key) for name, key in headings],
        rows=[
            (
                list(map(format_value, at_row)),
                [by_key.get((name, *at_row, *key)) for name, key in headings],
            )
            for at_row in row_keys
        ],
    )


def _points(cells: pd.DataFrame, axes: list[str]) -> list[tuple[Any, ...]]:
    """Return the points of `axes`, numbers ascending and strings in the order of the study."""
    if not axes:
        return [()]
    place = {axis: {v: i for i, v in enumerate(_values(cells, axis))} for axis in axes}
    points = dict.fromkeys(zip(*(cells[axis].tolist() for axis in axes), strict=True))
    return sorted(points, key=lambda p: [place[a][v] for a, v in zip(axes, p, strict=True)])


def _values(cells: pd.DataFrame, axis: str) -> list[Any]:
    values = list(dict.fromkeys(cells[axis].tolist()))
    return sorted(values) if cells[axis].dtype.kind in "fiu" else values


def _column(
    summary: SavedSummary, name: str, names: list[str], across: list[str], key: tuple[Any, ...]
) -> Column:
    facts = summary.metrics[name]
    title = f"{facts['title']} {'↓' if facts['better'] == 'lower' else '↑'}"
    label = ", ".join(map(format_value, key))
    axes = ", ".join(map(humanize, across))
    if not across:
        return Column("", title)
    return Column(axes, label) if len(names) == 1 else Column(title, f"{axes} {label}")


def _cell(row: dict[Any, Any]) -> Cell:
    return Cell(row["mean"], row["low"], row["high"], row["mark"])


def _marked(cells: pd.DataFrame, summary: SavedSummary) -> tuple[pd.DataFrame, bool]:
    """Add the column `mark`; return, too, whether all comparisons are those of the report.

    The report compares each setting with its best. If that is not in the table, the best of the
    table is compared by the two intervals.
    """
    marked, is_paired = cells.assign(mark=""), True
    ranked = marked[marked["rank"].notna()]
    for _, part in ranked.groupby(["metric", *summary.within], sort=False):
        better = summary.metrics[part["metric"].iloc[0]]["better"]
        sign = 1 if better == "lower" else -1
        place = sign * part["mean"]
        top = part.iloc[int(place.to_numpy().argmin())]
        if top["rank"] == 1:
            tied = part["is_tied"] == 1
        else:
            tied, is_paired = _tied(part, top, sign), False
        marked.loc[part.index[tied], "mark"] = "tied"
        marked.loc[part.index[place == place.min()], "mark"] = "best"
    return marked, is_paired


def _tied(part: pd.DataFrame, top: pd.Series[Any], sign: int) -> pd.Series[bool]:
    """Return which settings are not worse than `top` by Welch's interval of the difference.

    The interval is corrected for all comparisons (Bonferroni, as in `ranking_with_gaps`).
    """
    squares = part["error"] ** 2, top["error"] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = squares[0] ** 2 / part["freedom"] + squares[1] ** 2 / top["freedom"]
        freedom = np.where(parts > 0, (squares[0] + squares[1]) ** 2 / parts, np.inf)
    tail = 0.05 / max(2, len(part) * (len(part) - 1))
    half = student_half_width(np.sqrt(squares[0] + squares[1]), freedom, tail)
    return pd.Series(sign * (part["mean"] - top["mean"]) <= half, part.index)
