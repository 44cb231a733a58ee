"""The summary of a report: a row for each configuration and metric.

The page, `report.nc` and `summary.csv` show these rows, so their numbers agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from scoresweep.pipeline.report.statistics.gaps import ranking_with_gaps
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    best_with_selection_interval,
    summarise,
)

__all__ = ["ReportSummary", "summarise_configurations"]

GAPS = (
    *("gap", "gap_low", "gap_high", "gap_level", "gap_error", "gap_freedom"),
    *("pairs", "sampling_pairs", "behind", "ahead"),
)


def summarise_configurations(
    rows: pd.DataFrame,
    metric: RankedMetric,
    axes: Sequence[str],
    within: Sequence[str] = (),
    ranked: pd.Series[bool] | None = None,
) -> pd.DataFrame:
    """Return a row for each configuration, in ascending order of `axes`.

    Columns in addition to those of `summarise` and, in each point of `within`, which is part of
    `axes`, `ranking_with_gaps`:

    * `place`: 1 for the best; equal means share a place. NaN for rows outside `ranked`.
    * `is_best`: whether it is the best, the first of equal ones. Its gap to itself has no interval.
    * `best_low`, `best_high`: interval of the best, corrected for choosing it; NaN for others.

    `ranked` selects the rows to rank, with whole configurations; without it, none is ranked.
    """
    chosen = rows[metric.name].notna()
    table = summarise(rows[chosen], metric, axes)
    best = table.iloc[:0]
    if ranked is not None and (chosen & ranked).any():
        others = [axis for axis in axes if axis not in within]
        ranking = ranking_with_gaps(rows[chosen & ranked], metric, others, within)
        groups = ranking.groupby(list(within) if within else np.zeros(len(ranking)))
        ranking["place"] = groups["mean"].rank("min", ascending=metric.better == "lower")
        table = _joined(table, ranking[[*axes, *GAPS, "place"]], axes)
        best = best_with_selection_interval(table[table["place"].notna()], metric, within)
    table = table.reindex(columns=[*dict.fromkeys([*table, *GAPS, "place"])])
    is_best = table.index.isin(best.index)
    table.loc[is_best, ["gap_low", "gap_high"]] = np.nan
    compared = table["place"].notna() & ~is_best
    return table.assign(
        gap_level=table["gap_level"].astype(object).where(compared, ""),
        pairs=table["pairs"].where(compared, 0).astype(np.int64),
        is_best=is_best,
        best_low=best["low"],
        best_high=best["high"],
    )


def _joined(table: pd.DataFrame, more: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    if axes:
        return table.merge(more, "left", on=list(axes))
    return table.join(more)


@dataclass(frozen=True)
class ReportSummary:
    """The rows of `summarise_configurations` for every metric of a report."""

    axes: Sequence[str] = ()
    """All swept axes but repeats."""
    within: Sequence[str] = ()
    """The axes whose values are not compared; each point of them has a best."""
    metrics: Mapping[str, RankedMetric] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def of(self, metric: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the summary of the configurations in `rows`, in ascending order of the axes."""
        table = self.tables[metric]
        if not self.axes:
            return table
        points, wanted = (pd.MultiIndex.from_frame(f[list(self.axes)]) for f in (table, rows))
        return table[points.isin(wanted)].reset_index(drop=True)

    def ranking(self, metric: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the ranked configurations in `rows`, the best first."""
        table = self.of(metric, rows)
        ranked = table[table["place"].notna()]
        return ranked.sort_values("place", kind="stable").reset_index(drop=True)

    def best(self, metric: str, rows: pd.DataFrame) -> pd.Series[Any]:
        """Return the best configuration in `rows`, with the interval corrected for choosing it.

        `rows` has all configurations at a point of `within`.
        """
        top = self.ranking(metric, rows).iloc[0]
        return top.drop(["low", "high"]).rename({"best_low": "low", "best_high": "high"})
