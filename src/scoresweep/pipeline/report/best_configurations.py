"""The best configurations of a report: one for each dataset and point of the evaluation grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from scoresweep.pipeline.report.format import format_axes
from scoresweep.pipeline.report.sections.captioned_figure import incomparable_axes, varied_axes
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    group_by_axes,
    most_repeats,
)
from scoresweep.pipeline.report.tables.frames import planned_table
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import ReportData

__all__ = ["MAX_CARDS", "BestConfiguration", "best_configurations", "with_count_of"]

MAX_CARDS = 6
"""Maximum number of cards, one for each dataset and point of the evaluation grid."""


class BestConfiguration(NamedTuple):
    """The best configuration of a dataset and point of the evaluation grid."""

    row: pd.Series[Any]
    """Its row of `best`."""
    where: str
    """Its axes, formatted."""
    part: pd.DataFrame
    """The measured rows of all configurations that it was chosen from."""
    ranking: pd.DataFrame
    """The summary of these configurations, the best first."""
    max_repeats: tuple[int, int]
    """Maximum number of networks, and of samplings, of a configuration."""

    @property
    def of(self) -> int:
        """Number of configurations that it was chosen from."""
        return len(self.ranking)


def with_count_of(row: Mapping[Any, Any] | pd.Series[Any], metric: RankedMetric) -> RankedMetric:
    """Return `metric` with the number of samples of a configuration, if `row` names it."""
    return metric.of_counts([row[COUNT]]) if COUNT in row else metric


def best_configurations(
    data: ReportData, wide: pd.DataFrame, metric: RankedMetric
) -> Iterator[BestConfiguration]:
    """Yield the best configuration of each dataset and point of the evaluation grid."""
    measured, incomparable = wide[wide[metric.name].notna()], incomparable_axes(data)
    # Successive halving or failures may have left one value of an axis, which names the best.
    planned = data.ranked(planned_table(data))
    varies = [axis for axis in varied_axes(data) if planned[axis].nunique() > 1]
    named = [axis for axis in varied_axes(data) if axis in (*incomparable, *varies)]
    for key, part in group_by_axes(measured, incomparable):
        summary = data.summary.ranking(metric.name, part)
        if summary.empty:
            continue
        top = data.summary.best(metric.name, part)
        if len(summary) > 1 and summary["mean"].nunique() == 1:
            point = format_axes(dict(zip(incomparable, key, strict=True)))
            where = ", ".join(part for part in (point, "all settings equal") if part)
        else:
            where = format_axes({axis: top[axis] for axis in named}) or "the only setting"
            alike = int((summary["mean"] == top["mean"]).sum()) - 1
            where += f" (and {alike:,} more with the same value)" if alike else ""
        yield BestConfiguration(top, where, part, summary, most_repeats(summary))
