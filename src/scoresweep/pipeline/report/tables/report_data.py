"""Everything that a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.statistics.report_summary import ReportSummary
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT, DROPPED_AT
from scoresweep.pipeline.results import Choice
from scoresweep.pipeline.results.code_summary import CodeCounts

__all__ = [
    "SCHEMA_VERSION",
    "UNTRAINED",
    "Finding",
    "MetricFailure",
    "MissingResult",
    "Part",
    "ReportData",
    "ReportWarning",
]

SCHEMA_VERSION = 1
"""Version of the layout of `report.nc`; raise it if readers have to change."""

UNTRAINED = "its network is not trained"
"""Start of the reason of results that wait for a training."""

Part = Literal["training", "score error", "sampling"]
"""A part of a study that has results of its own."""


class MissingResult(NamedTuple):
    """A part of the study that has no result."""

    part: Part
    run: str
    setting: str | None
    state: Literal["missing", "failed"]
    reason: str

    @property
    def name(self) -> str:
        """Run id, or run id and setting id."""
        return f"{self.run} / {self.setting}" if self.setting else self.run


class MetricFailure(NamedTuple):
    """A metric that failed for a setting whose other metrics were computed."""

    metric: str
    run: str
    setting: str
    reason: str


class Finding(NamedTuple):
    """What a warning says, and the numbers that it follows from."""

    kind: str
    """`near_noise`, `clipped_pixels`, `falling_loss`, `grid_edge` or `few_seeds`."""
    text: str
    numbers: Mapping[str, float]


class ReportWarning(NamedTuple):
    """A warning about the best setting by the main metric."""

    finding: Finding
    setting: str
    """Axes of the best setting, formatted."""
    metric: str
    """Name of the main metric."""


@dataclass(frozen=True)
class ReportData:
    """Everything that was measured, and what is missing."""

    tree: xr.DataTree
    missing: list[MissingResult]
    run_axes: list[str]
    """Swept axes of the training grid, the dataset included."""
    setting_axes: list[str]
    """Swept axes of the sampling grid, and `count` with successive halving."""
    evaluation_axes: list[str]
    """Swept axes of the evaluation grid."""
    exact_runs: frozenset[str] = frozenset()
    """Ids of the runs whose network is the exact score."""
    failures: Sequence[MetricFailure] = ()
    """Metrics that could not be computed."""
    codes: CodeCounts = field(default_factory=dict)
    """Number of results of each kind by the code that made them."""

    choices: Sequence[Choice] = ()
    """Choices of successive halving."""
    summary: ReportSummary = field(default_factory=ReportSummary)
    """Means, intervals and ranks of every configuration; see `with_summary`."""
    warnings: Sequence[ReportWarning] = ()
    """Warnings about the best settings; see `with_warnings`."""

    def finalists(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return those of `rows` with the largest count of their dataset, in successive halving.

        Values of unequal count cannot be compared.
        """
        if DROPPED_AT not in rows:
            return rows
        groups = rows.groupby("dataset") if "dataset" in rows else rows.groupby(lambda _: 0)
        return rows[rows[COUNT] == groups[COUNT].transform("max")]

    def metrics_of_finalists(
        self, rows: pd.DataFrame, metrics: Sequence[RankedMetric]
    ) -> list[RankedMetric]:
        """Return `metrics` with the number of samples of `rows`, which are `finalists`."""
        if DROPPED_AT not in rows or rows.empty:
            return list(metrics)
        return [metric.of_counts(rows[COUNT].unique().tolist()) for metric in metrics]

    def ranked(self, wide: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `wide` to rank: those of networks, or all if there are none.

        The exact score is the reference for networks.
        """
        trained = wide[~wide["run"].isin(self.exact_runs)]
        return trained if len(trained) else wide

    @property
    def axes(self) -> list[str]:
        """All swept axes."""
        return [*self.run_axes, *self.setting_axes, *self.evaluation_axes]
