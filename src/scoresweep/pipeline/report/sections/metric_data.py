"""Every metric of every setting, formatted: what maps and the interactive explorer show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_repeats,
    humanize,
    missing_repeats,
)
from scoresweep.pipeline.report.plots import is_wide_range
from scoresweep.pipeline.report.statistics.report_summary import ReportSummary
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    best_first,
    most_repeats,
    summarise,
)
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study.axis_names import is_repeat

__all__ = ["COST_CAPTIONS", "MetricData", "metrics_of"]

LOG_FACTOR = 8
"""Values that span more than this factor are shown on a logarithmic scale."""

COST_CAPTIONS = {
    "sampler_cost": "Samples of the exact score minus real test samples: the sampler's part.",
    "network_cost": "Samples of the network minus samples of the exact score at the same settings: "
    "the network's part. Below zero, the two errors partly cancel.",
}
"""Suffix of the variable to the caption of its map."""


@dataclass(frozen=True)
class MetricData:
    """A metric over the settings of a report."""

    metric: RankedMetric
    ranked_by: RankedMetric
    """The metric that decides which value of an axis is best; a cost does not rank settings."""
    rows: pd.DataFrame
    """A row for each measured setting."""
    summary: ReportSummary
    """The summary of the report."""
    is_exact: bool
    """Whether all rows are of the exact score."""
    note: str = ""
    """What a cost is."""

    @property
    def ranks(self) -> bool:
        """Whether the metric says which setting is best."""
        return self.metric is self.ranked_by and not self.metric.caveat

    def cells(self, axes: Sequence[str]) -> pd.DataFrame:
        """Return a row for each point of `axes`: `summarise` with formatted columns.

        Without repeats among `axes`, the rows are those of the report's summary. `text`, `interval`
        and `missing_repeats` ("1 of 2 networks", or "") are strings; `_order` is lower for a better
        point.
        """
        sign = 1 if self.ranked_by.better == "lower" else -1
        measured = self.rows[self.rows[self.metric.name].notna()]
        cells = ranking = self._summary(measured, self.metric, axes)
        if self.metric is not self.ranked_by:
            ranking = self._summary(measured, self.ranked_by, axes)
        max_repeats, records = most_repeats(cells), cells.to_dict("records")
        return cells.assign(
            _order=sign * ranking["mean"],
            text=[format_number(mean) for mean in cells["mean"]],
            interval=[format_interval(row) for row in records],
            missing_repeats=[missing_repeats(row, max_repeats) for row in records],
        )

    def _summary(
        self, rows: pd.DataFrame, metric: RankedMetric, axes: Sequence[str]
    ) -> pd.DataFrame:
        if any(is_repeat(axis) for axis in axes):
            return summarise(rows, metric, axes)
        return self.summary.of(metric.name, rows)

    def best_over_other_axes(self, axes: Sequence[str], shown: Sequence[str]) -> pd.DataFrame:
        """Return one cell for each point of `shown`: the best over the other `axes`."""
        cells = self.cells(axes).sort_values("_order", kind="stable")
        return cells.drop_duplicates(list(shown)).reset_index(drop=True)

    def is_log(self, cells: pd.DataFrame) -> bool:
        """Return whether values of this metric belong on a logarithmic scale."""
        about = self.metric.about
        is_ratio = about.get("valid_min") == 0 and about.get("valid_max") is None
        return is_ratio and is_wide_range(cells["mean"], LOG_FACTOR)

    @cached_property
    def lead(self) -> str:
        """First sentence of a caption: what is better, or what a cost is."""
        if self.metric is not self.ranked_by:
            return self.note
        caveat = f", but {self.metric.caveat}" if self.metric.caveat else ""
        return f"{self.metric.better.capitalize()} is better{caveat}."

    def details(self, cells: pd.DataFrame, count: int | None = None) -> str:
        """Last sentences of a caption: samples, references, repeats and intervals.

        `count` is the number of samples of all `cells`, if it differs between settings.
        """
        metric = self.metric if count is None else self.metric.of_counts([count])
        parts = [f"Samples: {metric.count()}."] if metric.count() else []
        if references := metric.references(cells[["real", "noise"]].mean()):
            parts.append(f"For comparison: {', '.join(references)}.")
        parts += self._repeats(cells)
        if cells["interval"].any() and self.ranks:
            parts.append("Intervals are not corrected for choosing the best setting.")
        if self.metric.about.get("note"):
            parts.append(f"{self.metric.about['note']}.".replace("..", "."))
        return " ".join(parts)

    def _repeats(self, cells: pd.DataFrame) -> list[str]:
        """Describe what the means and their intervals are computed from."""
        networks, samplings = most_repeats(cells)
        sampled = "the exact score" if self.is_exact else "one network"
        only = "" if self.is_exact else ", valid for that network only"
        parts = []
        if networks > 1:
            parts.append(f"Mean of {format_repeats(networks, samplings)}.")
        elif samplings > 1:
            parts.append(f"Mean of {samplings} samplings of {sampled}.")
        levels = set(cells.loc[cells["interval"] != "", "level"])
        for level, source in {
            "networks": "Student's 95 % interval over networks",
            "samplings": f"Student's 95 % interval over samplings{only}",
            "samples": f"95 % interval from resampling the samples{only}",
        }.items():
            parts += [f"{source}{self._scale(level)}."] if level in levels else []
        return parts

    def _scale(self, level: str) -> str:
        if level == "samples" or "valid_min" not in self.metric.about:
            return ""
        is_share = "valid_max" in self.metric.about
        return ", cut off at 0 and 1" if is_share else ", on a logarithmic scale"

    def best_note(self, cells: pd.DataFrame, axes: Sequence[str]) -> str:
        """Name the best of the shown cells; "" if the metric does not rank settings."""
        if not self.ranks:
            return ""
        if len(cells) > 1 and cells["mean"].nunique() == 1:
            return f"All equal: {cells['text'].iloc[0]}."
        best = best_first(cells, self.metric).iloc[0]
        return f"Best: {format_axes({a: best[a] for a in axes})} with {best['text']}."


def metrics_of(
    data: ReportData, rows: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Iterator[MetricData]:
    """Yield each metric, followed by what the sampler and the network contribute to it."""
    is_exact = set(rows["run"]) <= data.exact_runs
    for metric in metrics:
        yield MetricData(metric, metric, rows, data.summary, is_exact)
        for suffix, caption in COST_CAPTIONS.items():
            name = f"{metric.name}_{suffix}"
            if name in rows and rows[name].notna().any():
                title = f"{metric.title}: {humanize(suffix)}"
                about = {"units": metric.about.get("units", "1")}
                cost = RankedMetric(name, title, "lower", about, metric.sizes)
                yield MetricData(cost, metric, rows, data.summary, is_exact, caption)


def subsets(items: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every subset of `items`, the empty one first."""
    sizes = range(len(items) + 1)
    return itertools.chain.from_iterable(itertools.combinations(items, n) for n in sizes)


def explained_std(rows: pd.DataFrame, metric: str, axes: Sequence[str]) -> float:
    """Return the standard deviation of a metric that `axes` explain.

    That is the deviation of the means over them, weighted by settings, of logarithms if all are
    positive.
    """
    means = rows.groupby(list(axes))[metric].transform("mean").dropna().to_numpy()
    return float(np.std(np.log(means) if (means > 0).all() else means)) if means.size else 0.0
