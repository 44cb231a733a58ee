"""Find the warnings about the best settings of a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.best_configurations import (
    MAX_CARDS,
    BestConfiguration,
    best_configurations,
    with_count_of,
)
from scoresweep.pipeline.report.sections.captioned_figure import varied_axes
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.best_steps import BEST_STEP
from scoresweep.pipeline.report.tables.report_data import Finding, ReportData, ReportWarning
from scoresweep.pipeline.report.warnings.clipped_pixels import clipped_pixels
from scoresweep.pipeline.report.warnings.distance_scale import near_noise
from scoresweep.pipeline.report.warnings.falling_loss import falling_loss
from scoresweep.pipeline.report.warnings.grid_edge import edge_warnings, grid_edges
from scoresweep.pipeline.report.warnings.needed_repeats import few_seeds
from scoresweep.pipeline.study import Plan

__all__ = ["warnings_attribute", "with_warnings"]


def with_warnings(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> ReportData:
    """Return `data` with the warnings about the best configurations by the main metric.

    `wide` and `metrics` are those of `best_setting_cards`.
    """
    found: list[ReportWarning] = []
    tops = list(best_configurations(data, wide, metrics[0]))[:MAX_CARDS] if metrics else []
    for top in tops:
        metric = with_count_of(top.row, metrics[0])
        found += [
            ReportWarning(finding, top.where, metric.name)
            for finding in _warnings(plan, data, top, metric)
        ]
    return replace(data, warnings=found)


def warnings_attribute(warnings: Sequence[ReportWarning]) -> dict[str, str]:
    """Return the attribute `warnings` of `report.nc`: a JSON list."""
    content = [{"setting": w.setting, "metric": w.metric, **w.finding._asdict()} for w in warnings]
    return {"warnings": json.dumps(content, ensure_ascii=False, default=float)}


def _warnings(
    plan: Plan, data: ReportData, top: BestConfiguration, metric: RankedMetric
) -> Iterator[Finding]:
    axes = varied_axes(data)
    rows = top.part[(top.part[axes] == top.row[axes]).all(axis="columns")] if axes else top.part
    is_exact = set(rows["run"]) <= data.exact_runs
    edges = grid_edges(top.part, top.row, axes)
    of_sampler = any(axis in data.setting_axes for axis in edges)
    measured: list[Finding | None] = [
        near_noise(top.row, rows, metric, is_exact=is_exact, at_edge=of_sampler),
        clipped_pixels(plan, rows.iloc[0]),
        None if _has_steps(rows) else falling_loss(data.tree["training"].to_dataset(), _runs(rows)),
    ]
    yield from (finding for finding in measured if finding)
    yield from edge_warnings(plan, top.part, rows.iloc[0], edges)
    if few := few_seeds(top.ranking, is_exact=set(top.part["run"]) <= data.exact_runs):
        yield few


def _runs(rows: pd.DataFrame) -> list[Any]:
    return rows["run"].unique().tolist()


def _has_steps(rows: pd.DataFrame) -> bool:
    """Return whether the study chooses among training steps."""
    return "training_step" in rows or (BEST_STEP in rows and bool(rows[BEST_STEP].notna().any()))
