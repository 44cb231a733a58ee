"""Summarise the metrics of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from scoresweep.pipeline.report.sections.captioned_figure import incomparable_axes, varied_axes
from scoresweep.pipeline.report.sections.metric_data import metrics_of
from scoresweep.pipeline.report.statistics.report_summary import (
    ReportSummary,
    summarise_configurations,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.report_data import ReportData

__all__ = ["with_summary"]


def with_summary(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> ReportData:
    """Return `data` with the summary of `metrics`, the main one first, and of their costs.

    `wide` has a row for each measured setting. Ranked by are the main metric and those that bad
    samples cannot win; costs are not. The exact score is not ranked if there are networks.
    """
    axes, within = varied_axes(data), incomparable_axes(data)
    ranked = wide.index.to_series().isin(data.ranked(wide).index)
    tables, summarised = {}, {}
    for found in metrics_of(data, wide, metrics):
        metric = found.metric
        is_ranked = metric is metrics[0] or found.ranks
        tables[metric.name] = summarise_configurations(
            wide, metric, axes, within, ranked if is_ranked else None
        )
        summarised[metric.name] = metric
    return replace(data, summary=ReportSummary(axes, within, summarised, tables))
