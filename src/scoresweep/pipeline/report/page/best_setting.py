"""The best setting, its uncertainty, and its lead over the second best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_repeats,
    format_value,
    humanize,
    missing_repeats,
)
from scoresweep.pipeline.report.page.attribution import attribution
from scoresweep.pipeline.report.page.runner_up import runner_up
from scoresweep.pipeline.report.sections.captioned_figure import incomparable_axes, varied_axes
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    group_by_axes,
    most_repeats,
)
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan

__all__ = [
    "BestConfiguration",
    "best_configurations",
    "best_setting_cards",
    "grid_edges",
    "with_count_of",
]

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
    measured, axes, incomparable = (
        wide[wide[metric.name].notna()],
        varied_axes(data),
        incomparable_axes(data),
    )
    for key, part in group_by_axes(measured, incomparable):
        summary = data.summary.ranking(metric.name, part)
        if summary.empty:
            continue
        top = data.summary.best(metric.name, part)
        if len(summary) > 1 and summary["mean"].nunique() == 1:
            point = format_axes(dict(zip(incomparable, key, strict=True)))
            where = ", ".join(part for part in (point, "all settings equal") if part)
        else:
            named = [axis for axis in axes if axis in incomparable or measured[axis].nunique() > 1]
            where = format_axes({axis: top[axis] for axis in named}) or "the only setting"
            alike = int((summary["mean"] == top["mean"]).sum()) - 1
            where += f" (and {alike:,} more with the same value)" if alike else ""
        yield BestConfiguration(top, where, part, summary, most_repeats(summary))


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
        "warning": _noise_warning(top.row, metric),
        "verdict": verdict,
        "next": next_best,
        "edge": _edge_warning(edges),
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


def _noise_warning(row: pd.Series[Any], metric: RankedMetric) -> str:
    """Warn if uniform noise does as well as the best setting; "" otherwise."""
    sign = 1 if metric.better == "lower" else -1
    if not sign * row["noise"] <= sign * row["mean"]:
        return ""
    return (
        f"Uniform noise scores {format_number(row['noise'])}, which is as good or better. Either "
        "the samples are bad or this metric cannot tell them from noise: check the samples and "
        "the other metrics."
    )


def grid_edges(
    part: pd.DataFrame, row: pd.Series[Any], axes: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Return the axes along which the best has the smallest or largest of three or more numbers.

    Maps each axis to the formatted value and "smallest" or "largest".
    """
    edges = {}
    for axis in axes:
        values = part[axis].dropna().unique()
        if len(values) < 3 or not pd.api.types.is_numeric_dtype(values):
            continue
        for end, word in ((values.min(), "smallest"), (values.max(), "largest")):
            if row[axis] == end:
                edges[axis] = (format_value(end), word)
    return edges


def _edge_warning(edges: dict[str, tuple[str, str]]) -> str:
    if not edges:
        return ""
    parts = [f"{humanize(axis)} {value} is the {word}" for axis, (value, word) in edges.items()]
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]} value tried; values beyond it may be better."
