"""A metric over the axes of the study, and what the sampler and the network cost of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from scoresweep.pipeline.report import plots
from scoresweep.pipeline.report.format import (
    format_axes,
    format_number,
    format_repeats,
    humanize,
    is_repeat,
)
from scoresweep.pipeline.report.sections.base import (
    CaptionedFigure,
    file_name,
    is_incomparable_axis,
    title_suffix,
)
from scoresweep.pipeline.report.statistics.repeats import NETWORK, SAMPLING
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    best,
    group_by_axes,
    most_repeats,
    summarise,
)
from scoresweep.pipeline.report.tables.collect import ReportData, planned_table

__all__ = ["COST_CAPTIONS", "axis_pairs", "cost_maps", "metric_maps"]

MAPS = 6
"""Most heat maps of the main metric, one for each pair of axes."""

COST_METRICS = 3
"""Most metrics whose costs have maps."""

LADDER = ("levels", "noise", "sigma_max", "sigma_min", "rho", "sigmas")
"""Axes of the noise ladder: the first choice for the rows of a heat map."""


def metric_maps(
    data: ReportData, wide: pd.DataFrame, metric: RankedMetric, every_pair: bool
) -> Iterator[CaptionedFigure]:
    """Yield maps of a metric over a run axis and a sampler axis; a line where only one varies.

    Datasets and points of the evaluation grid get a map each; they are never averaged.
    """
    apart = [axis for axis in data.axes if is_incomparable_axis(data, axis)]
    for key, part in group_by_axes(wide[wide[metric.name].notna()], apart):
        if part[metric.name].nunique() == 1:
            continue  # there is nothing to see in a map of one value
        where = dict(zip(apart, key, strict=True))
        pairs = axis_pairs(data, part, metric.name)
        for pair in pairs[: MAPS if every_pair else 1]:
            yield _metric_map(data, part, metric, pair, where)


def axis_pairs(data: ReportData, part: pd.DataFrame, metric: str) -> list[list[str]]:
    """Return what to draw a metric over: pairs of axes, or the only axis that varies.

    Those over which the metric varies most come first.
    """
    varied = [axis for axis in data.axes if part[axis].nunique() > 1 and not is_repeat(axis)]
    varied = [axis for axis in varied if not is_incomparable_axis(data, axis)]
    varied.sort(key=lambda axis: set(part[axis]) <= {"true", "false"})  # numbers first
    rows = sorted((a for a in varied if a in data.run_axes), key=lambda a: a not in LADDER)
    columns = [a for a in varied if a in data.setting_axes]
    crossed = [[column, row] for row, column in itertools.product(rows, columns)]
    any_two = [[a, b] for b, a in itertools.combinations(varied, 2)]
    for pairs in (crossed, any_two):
        if apart := [pair for pair in pairs if not _vary_together(part, pair)]:
            return sorted(apart, key=lambda pair: -_spread(part, metric, pair))
    return [[axis] for axis in varied]


def _vary_together(part: pd.DataFrame, pair: list[str]) -> bool:
    """Tell whether one axis follows from the other (they were zipped): a map would have gaps."""
    return len(part[pair].drop_duplicates()) == int(part[pair].nunique().max())


def _spread(part: pd.DataFrame, metric: str, pair: list[str]) -> float:
    """Return how much of the deviation of a metric the axes of `pair` explain.

    That is the deviation of the means over them, each as often as it has settings; of logarithms
    where all are positive.
    """
    means = part.groupby(pair)[metric].transform("mean").dropna().to_numpy()
    return float(np.std(np.log(means) if (means > 0).all() else means)) if means.size else 0.0


def _metric_map(
    data: ReportData,
    part: pd.DataFrame,
    metric: RankedMetric,
    pair: list[str],
    where: dict[str, Any],
) -> CaptionedFigure:
    others = [axis for axis in data.axes if axis not in pair and not is_repeat(axis)]
    others = [axis for axis in others if part[axis].nunique() > 1]
    summary = summarise(_averaged(part, metric, pair, others), metric, pair)
    if len(pair) == 2:
        summary = _with_missing(data, summary, pair, where)
    title = f"{metric.title}, {format_axes(where)}" if where else metric.title
    draw = plots.heat_map if len(pair) == 2 else plots.lines
    figure = draw(summary, replace(metric, title=title), *pair)
    name = file_name("metric", metric.name, *pair, *where.values())
    is_exact = set(part["run"]) <= data.exact_runs
    caption = _caption(summary, metric, pair, others, is_exact)
    return CaptionedFigure(name, title, caption, plots.png(figure), charted=True)


def _with_missing(
    data: ReportData, summary: pd.DataFrame, pair: list[str], where: dict[str, Any]
) -> pd.DataFrame:
    """Add a row without a mean for each cell between measured ones that the study asks for."""
    asked = planned_table(data)
    within = [asked[axis].isin(summary[axis]) for axis in pair]
    within += [asked[axis] == value for axis, value in where.items() if axis in asked]
    cells = asked[np.logical_and.reduce(within)][pair].drop_duplicates()
    there = pd.MultiIndex.from_frame(summary[pair])
    lost = cells[~pd.MultiIndex.from_frame(cells).isin(there)]
    return pd.concat([summary, lost], ignore_index=True) if len(lost) else summary


def _averaged(
    part: pd.DataFrame, metric: RankedMetric, pair: list[str], others: list[str]
) -> pd.DataFrame:
    """Average over the axes `others`, repeat by repeat, so that intervals are of repeats alone."""
    if not others:
        return part
    sides = [c for c in (f"{metric.name}_real", f"{metric.name}_noise") if c in part]
    keys = [*pair, NETWORK, SAMPLING]
    return part.groupby(keys, as_index=False)[[metric.name, *sides]].mean()


def _caption(
    summary: pd.DataFrame, metric: RankedMetric, pair: list[str], others: list[str], is_exact: bool
) -> str:
    top = best(summary, metric)
    if metric.caveat:
        sentences = [f"{metric.better.capitalize()} is better, but {metric.caveat}."]
    else:
        found = (
            f"{format_axes({a: top[a] for a in reversed(pair)})} with {format_number(top['mean'])}"
        )
        sentences = [f"{metric.better.capitalize()} is better. Best: {found}."]
    if metric.count():
        sentences.append(f"Samples: {metric.count()}.")
    references = metric.references(summary[["real", "noise"]].mean())
    if references:
        sentences.append(f"For comparison: {', '.join(references)}.")
    sentences += _intervals(summary, metric, is_exact)
    if len(summary) < math.prod(summary[axis].nunique() for axis in pair):
        sentences.append("The study has no settings where a cell is empty.")
    if others:
        sentences.append(f"Averaged over {', '.join(humanize(axis) for axis in others)}.")
    return " ".join(sentences)


def _intervals(summary: pd.DataFrame, metric: RankedMetric, is_exact: bool) -> list[str]:
    """Say of what the means and their intervals are."""
    of_one = "the exact score" if is_exact else "one network"
    only = [] if is_exact else ["It holds for that network only."]
    networks, samplings = most_repeats(summary)
    if networks > 1:
        of = format_repeats(networks, samplings)
        return [f"Mean of {of}, with Student's 95 % interval over networks{_scale(metric)}."]
    if samplings > 1:
        mean = f"Each value is the mean of {samplings} samplings of {of_one}"
        return [f"{mean}, with Student's 95 % interval{_scale(metric)}.", *only]
    if summary["low"].notna().any():
        return ["With the 95 % interval from resampling the samples.", *only]
    return []


def _scale(metric: RankedMetric) -> str:
    """Say how an interval is kept where values are possible."""
    if "valid_min" not in metric.about:
        return ""
    return ", cut off at 0 and 1" if "valid_max" in metric.about else ", on a logarithmic scale"


COST_CAPTIONS = {
    "sampler_cost": "Samples of the exact score against real test samples: what is left to gain is "
    "the sampler's.",
    "network_cost": "Samples of the network against those of the exact score with the same "
    "settings: what a better network would gain. Below zero the two errors make up for each "
    "other.",
}
"""Suffix of the variable to what a map of it says."""


def cost_maps(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Iterator[CaptionedFigure]:
    """Yield maps of what the sampler and what each network costs, by the first of the metrics."""
    split = [metric for metric in metrics if f"{metric.name}_sampler_cost" in wide]
    exact = wide["run"].isin(data.exact_runs)
    told = [axis for axis in data.run_axes if not is_repeat(axis) and _tells(wide[axis], exact)]
    for metric in split[:COST_METRICS]:
        for suffix, caption in COST_CAPTIONS.items():
            name = f"{metric.name}_{suffix}"
            title = f"{metric.title}: {humanize(suffix)}"
            # One of two costs ranks no setting.
            about = {
                "units": metric.about.get("units", "1"),
                "caveat": "the other cost counts, too",
            }
            cost = RankedMetric(name, title, "lower", about, metric.sizes)
            rows = wide[exact] if suffix == "sampler_cost" else wide[~exact]
            for key, part in group_by_axes(rows, [] if suffix == "sampler_cost" else told):
                where = dict(zip(told, key, strict=False))
                named = replace(cost, title=f"{title}{title_suffix(where)}")
                for picture in metric_maps(data, part, named, every_pair=False):
                    file = file_name(picture.name, *where.values())
                    yield picture._replace(name=file, caption=f"{caption} {picture.caption}")


def _tells(values: pd.Series[Any], exact: pd.Series[bool]) -> bool:
    """Tell whether the values of an axis tell the exact score from networks."""
    return set(values[exact]).isdisjoint(values[~exact])
