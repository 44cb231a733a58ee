"""Samples, the real ones next to them, and trajectories."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_axes, format_number
from scoresweep.pipeline.report.plots import Axis, LineChart, pairs, points, side_by_side
from scoresweep.pipeline.report.plots.image_grids import (
    COLUMNS,
    nearest_images,
    sample_grid,
    tile,
    tile_pairs,
    trajectory_strip,
)
from scoresweep.pipeline.report.plots.second_process import draw
from scoresweep.pipeline.report.plots.trajectories import trajectories as draw_trajectories
from scoresweep.pipeline.report.sections.captioned_figure import (
    CaptionedFigure,
    captioned,
    configuration_lines,
    file_name,
    incomparable_axes,
    title_suffix,
    to_frame,
    varied_axes,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric, group_by_axes
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.sampling.sample_store import read_samples, read_trajectories
from scoresweep.pipeline.study import Plan

__all__ = [
    "SampleGrids",
    "neighbours",
    "overview",
    "sample_grids",
    "signals_to_noise",
    "trajectory_figures",
]

POINTS = 2000
"""Maximum number of points in a figure."""

LONG_TITLE = 34
"""Maximum letters of a title over one of two images."""

MAX_GRIDS = 24
"""Maximum number of settings whose samples are shown."""

NEIGHBOURS = 12
"""Number of samples shown over their nearest neighbours."""

DENOISE = "denoise"
"""Axis of the final denoising step."""


class SampleGrids(NamedTuple):
    """Grids of samples and the number of settings that they show."""

    rows: list[tuple[CaptionedFigure, ...]]
    """Grids that belong together: a setting with and without the final denoising step."""
    settings: int


def sample_grids(
    plan: Plan,
    data: ReportData,
    wide: pd.DataFrame,
    metric: RankedMetric | None,
    datasets: list[str],
) -> SampleGrids:
    """Return a grid of real samples for each dataset, and one for each setting.

    If there are more than `MAX_GRIDS` settings, the best by `metric` are shown. Settings whose
    samples are missing or incomplete are left out. Grids show as many real samples as drawn ones.
    """
    real = {dataset: _real(plan, dataset) for dataset in datasets}
    rows, settings = list[tuple[CaptionedFigure, ...]](), 0
    counts: dict[str, list[int]] = {dataset: [] for dataset in datasets}
    shown = _best_first(wide.drop_duplicates(["run", "setting"]), metric)
    axes = [axis for axis in data.axes if axis not in data.evaluation_axes]
    same = [axis for axis in axes if axis != DENOISE]
    for _, group in shown.groupby(["run", *same], sort=False):
        if settings >= MAX_GRIDS:
            break
        row: list[CaptionedFigure] = []
        for _, setting in sorted(group.iterrows(), key=lambda each: not _is_denoised(each[1])):
            drawn = _drawn(plan, setting)
            if drawn:
                name = file_name("samples", setting["run"], setting["setting"])
                title = format_axes({axis: setting[axis] for axis in same}) or "samples"
                if DENOISE in axes:
                    title += ", denoised" if _is_denoised(setting) else ", raw"
                caption = f"{metric.title} {format_number(setting[metric.name])}" if metric else ""
                dataset = setting.get("dataset", datasets[0])
                drawn, reference = _alike(drawn, real[dataset])
                counts[dataset].append(len(drawn.values))
                row.append(_picture(name, title, caption, drawn, reference))
        rows += [tuple(row)] if row else []
        settings += len(row)
    real_rows = [
        (_real_picture(dataset, split, max(counts[dataset], default=_limit(split))),)
        for dataset, split in real.items()
        if split
    ]
    return SampleGrids([*real_rows, *rows], settings)


def _best_first(settings: pd.DataFrame, metric: RankedMetric | None) -> pd.DataFrame:
    """Return settings with the best by `metric` first if not all are shown.

    Values of unequal count are not compared: the largest count comes first.
    """
    if not metric or len(settings) <= MAX_GRIDS:
        return settings
    settings = settings.sort_values(metric.name, ascending=metric.better == "lower")
    if COUNT in settings:
        settings = settings.sort_values(COUNT, ascending=False, kind="stable")
    return settings


def _picture(
    name: str, title: str, caption: str, samples: Split, real: Split | None = None
) -> CaptionedFigure:
    """Return a grid of samples; points are drawn over `real` ones."""
    is_points = samples.pixel_range is None
    if is_points and real:
        grid: Figure | bytes = points(samples.values, real.values)
    else:
        grid = points(None, samples.values) if is_points else sample_grid(samples)
    return CaptionedFigure(name, title, caption, draw(grid), pixels=not is_points)


def _real_picture(dataset: str, split: Split, count: int) -> CaptionedFigure:
    """Return a grid of the first `count` real samples."""
    first = split.first(count)
    name, caption = file_name("samples_real", dataset), f"{len(first.values):,} of the test set"
    return _picture(name, f"Real: {dataset}", caption, first)


def _limit(samples: Split) -> int:
    """Return the maximum number of samples in a grid."""
    return POINTS if samples.pixel_range is None else COLUMNS**2


def _alike(drawn: Split, real: Split | None) -> tuple[Split, Split | None]:
    """Return equally many first samples of both, at most as many as a grid shows."""
    count = min(_limit(drawn), len(drawn.values), len(real.values) if real else _limit(drawn))
    return drawn.first(count), real.first(count) if real else None


def _is_denoised(setting: pd.Series[Any]) -> bool:
    """Return whether a setting takes the final denoising step; boolean axes hold strings."""
    return bool(setting.get(DENOISE) == "true")


def overview(
    plan: Plan,
    data: ReportData,
    wide: pd.DataFrame,
    metric: RankedMetric | None,
    datasets: list[str],
) -> Iterator[CaptionedFigure]:
    """Yield samples of the first dataset next to those of its best configuration (first seed)."""
    first = wide[wide["dataset"] == datasets[0]] if "dataset" in wide else wide
    for where, row in itertools.islice(_best_settings(data, first, metric), 1):
        real, drawn = _real(plan, datasets[0]), _drawn(plan, row)
        if not real or not drawn:
            return
        count = min(_limit(drawn), len(drawn.values), len(real.values))
        drawn, real = drawn.first(count), real.first(count)
        name = format_axes(where) or "samples"
        if real.pixel_range is None:
            figure = points(drawn.values, real.values, width=4.9)
        else:
            title = name if len(name) <= LONG_TITLE else "best setting"
            figure = side_by_side([("real test images", tile(real)), (title, tile(drawn))])
        kind = "points" if real.pixel_range is None else "images"
        caption = (
            f"{count:,} real {kind} and the first {count:,} drawn with the best setting"
            f"{title_suffix(where)}; not selected."
        )
        yield captioned("overview", "Real and drawn", caption, figure)


def _best_settings(
    data: ReportData, wide: pd.DataFrame, metric: RankedMetric | None
) -> Iterator[tuple[dict[str, Any], pd.Series[Any]]]:
    """Yield axes and first row of the best configuration.

    Each dataset and each point of the evaluation grid has one.
    """
    if metric is None:
        return
    axes = varied_axes(data)
    for _, part in group_by_axes(wide[wide[metric.name].notna()], incomparable_axes(data)):
        top = data.summary.best(metric.name, part)
        same = part[(part[axes] == top[axes]).all(axis="columns")] if axes else part
        yield {axis: top[axis] for axis in axes}, same.iloc[0]


def neighbours(
    plan: Plan,
    data: ReportData,
    wide: pd.DataFrame,
    metric: RankedMetric | None,
    datasets: list[str],
) -> Iterator[CaptionedFigure]:
    """Yield the first images of the best configurations over their nearest training images."""
    seen = set()
    for where, row in _best_settings(data, wide, metric):
        drawn = _drawn(plan, row)
        if (row["run"], row["setting"]) in seen or not drawn or drawn.pixel_range is None:
            continue
        seen.add((row["run"], row["setting"]))
        dataset = row.get("dataset", datasets[0])
        real = _real(plan, dataset, "train")
        if not real:
            continue
        first = drawn.first(NEIGHBOURS)
        nearest = replace(real, values=real.values[nearest_images(first, real)])
        figure = pairs(tile_pairs(first, nearest), math.ceil(len(nearest.values) / COLUMNS))
        caption = (
            f"The first {len(nearest.values)} samples{title_suffix(where)}, each over the nearest "
            f"of {len(real.values):,} training images by pixel distance. Almost identical pairs "
            f"are memorised training images."
        )
        name = file_name("neighbours", row["run"], row["setting"])
        yield captioned(name, "Nearest training images", caption, figure)


def signals_to_noise(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the ratio of the score's part of a Langevin step to its noise, level by level."""
    dataset = data.tree["sampling"].to_dataset()
    if "signal_to_noise" not in dataset:
        return
    frame = to_frame(dataset[["sigma", "signal_to_noise"]]).dropna()
    axes = [axis for axis in data.axes if axis != DENOISE]  # that step follows the last level
    lines = configuration_lines(frame, "sigma", "signal_to_noise", axes)
    if not lines:
        return
    y = Axis("signal-to-noise ratio of a step, √(η/2) ‖s‖ / √D", min(min(n.y) for n in lines) > 0)
    caption = (
        "Norm of η s relative to √(2η) z in the last step at each level. With the step rule "
        "“variance” it is constant if the score grows as 1/σ."
    )
    chart = LineChart(Axis("noise level σ", log=True), y, lines)
    name, title = "signal_to_noise", "Signal-to-noise ratio of a Langevin step"
    yield captioned(name, title, caption, chart, title)


def trajectory_figures(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metric: RankedMetric | None
) -> Iterator[CaptionedFigure]:
    """Yield the stored trajectories of the best configurations."""
    for where, row in _best_settings(data, wide, metric):
        if not _drawn(plan, row):
            continue
        trajectories = read_trajectories(*_store(plan, row))
        if trajectories is None:
            continue
        count = len(trajectories.states)
        caption = f"States of {count} samples at the end of each level{title_suffix(where)}"
        incomparable = (where[axis] for axis in where if axis in incomparable_axes(data))
        name, title = file_name("walks", *incomparable), "Trajectories along the noise ladder"
        if trajectories.states.ndim == 5:
            strip = trajectory_strip(trajectories.states)
            caption += ", the first level on the left."
            yield CaptionedFigure(name, title, caption, draw(strip), pixels=True)
        else:
            figure = draw_trajectories(*astuple(trajectories))
            yield captioned(name, title, f"{caption}.", figure)


def _real(plan: Plan, dataset: str, split: str = "test") -> Split | None:
    """Return real samples; None if they are missing."""
    try:
        return read_split(plan.paths.dataset_store(plan.dataset_id(dataset)), split)
    except InputError:
        return None


def _drawn(plan: Plan, row: pd.Series[Any]) -> Split | None:
    """Return the samples of a setting; None if they are missing."""
    try:
        return read_samples(*_store(plan, row))
    except InputError:
        return None


def _store(plan: Plan, row: pd.Series[Any]) -> tuple[Path, int]:
    """Return the sample store of a setting, and how many of its samples were measured."""
    setting = plan.setting(row["setting"])
    count = int(row.get(COUNT, setting.sample.count))
    return plan.paths.samples(row["run"], setting.store), count
