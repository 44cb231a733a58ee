"""The best setting, its uncertainty, and its lead over the second best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.best_configurations import (
    MAX_CARDS,
    BestConfiguration,
    best_configurations,
    with_count_of,
)
from scoresweep.pipeline.report.format import (
    format_interval,
    format_number,
    format_repeats,
    missing_repeats,
)
from scoresweep.pipeline.report.page.attribution import attribution
from scoresweep.pipeline.report.page.runner_up import runner_up
from scoresweep.pipeline.report.sections.captioned_figure import varied_axes
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.report.warnings.grid_edge import grid_edges
from scoresweep.pipeline.study import Plan

__all__ = ["best_setting_cards"]


def best_setting_cards(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[dict[str, Any]]:
    """Describe the best configurations by the main metric, the first of `metrics`."""
    if not metrics:
        return []
    configurations = list(best_configurations(data, wide, metrics[0]))[:MAX_CARDS]
    return [_card(plan, data, top, with_count_of(top.row, metrics[0])) for top in configurations]


def _card(
    plan: Plan, data: ReportData, top: BestConfiguration, metric: RankedMetric
) -> dict[str, Any]:
    is_exact = set(top.part["run"]) <= data.exact_runs
    detail = [
        _interval_of_best(top),
        ", ".join(part for part in (_repeats(top, is_exact), metric.count()) if part),
        *metric.references(top.row),
    ]
    axes = varied_axes(data)
    edges, runs = grid_edges(top.part, top.row, axes), top.part["run"].nunique()
    verdict, next_best = runner_up(top.ranking, runs, metric, axes, is_exact)
    return {
        "value": format_number(top.row["mean"]),
        "metric": metric.title,
        "better": f"{metric.better} is better",
        "where": top.where[:1].upper() + top.where[1:],
        "detail": "; ".join(part for part in detail if part),
        "warnings": [w.finding.text for w in data.warnings if w.setting == top.where],
        "verdict": verdict,
        "next": next_best,
        "attribution": attribution(
            plan, data, top.part, top.row, metric, [e for e in edges if e in data.setting_axes]
        ),
    }


def _interval_of_best(top: BestConfiguration) -> str:
    """Format the interval of the best, corrected for its choice."""
    if not format_interval(top.row):
        return ""
    note = f" (corrected for choosing the best of {top.of:,})" if top.of > 1 else ""
    return f"95 % interval {format_interval(top.row)}{note}"


def _repeats(top: BestConfiguration, is_exact: bool) -> str:
    """Describe the networks and samplings behind the best value."""
    networks, samplings = int(top.row["networks"]), int(top.row["samplings"])
    if is_exact:
        return f"exact score, {samplings} sampling{'s' * (samplings != 1)}"
    missing = missing_repeats(top.row, top.max_repeats)
    counts = format_repeats(networks, samplings) + (f" ({missing})" if missing else "")
    if networks > 1:
        return f"mean of {counts}"
    return f"{counts} (another training seed may give other values)"
