"""Samples, real ones beside them, and their ways down the ladder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import astuple, replace
from typing import Any, NamedTuple

import pandas as pd

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report import plots
from scoresweep.pipeline.report.format import format_axes, format_number, is_repeat
from scoresweep.pipeline.report.plots.image_grids import (
    COLUMNS,
    nearest_images,
    sample_grid,
    tile,
    tile_pairs,
    trajectory_strip,
)
from scoresweep.pipeline.report.sections.base import (
    BANDS,
    CaptionedFigure,
    file_name,
    is_incomparable_axis,
    title_suffix,
    to_frame,
)
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    best,
    group_by_axes,
    summarise,
)
from scoresweep.pipeline.report.tables.collect import ReportData
from scoresweep.pipeline.sampling.sample_store import read_samples, read_trajectories
from scoresweep.pipeline.study import StudyPaths

__all__ = [
    "Sheets",
    "neighbours",
    "overview",
    "sample_sheets",
    "signals_to_noise",
    "trajectory_figures",
]

POINTS = 2000
"""Most points of a picture."""

LONG_TITLE = 34
"""Most letters of a title over one of two pictures."""

SHEETS = 24
"""Most settings whose samples are shown."""

NEIGHBOURS = 12
"""Samples that are shown over their nearest neighbours."""

DENOISE = "denoise"
"""Axis of the last denoising step."""


class Sheets(NamedTuple):
    """The sheets of samples, and of how many settings they are."""

    rows: list[tuple[CaptionedFigure, ...]]
    """Sheets that belong together: the same setting with and without the last denoising step."""
    settings: int


def sample_sheets(
    paths: StudyPaths,
    data: ReportData,
    wide: pd.DataFrame,
    metric: RankedMetric | None,
    datasets: list[str],
) -> Sheets:
    """Return a sheet of real samples for each dataset, and one for each setting.

    Of more settings than fit, the best by `metric` are shown. A store that is not there any more,
    or not whole, has no sheet.
    """
    real = {dataset: _real(paths, dataset) for dataset in datasets}
    rows: list[tuple[CaptionedFigure, ...]] = []
    for dataset, split in real.items():
        if split:
            name = file_name("samples_real", dataset)
            picture = CaptionedFigure(name, f"Real: {dataset}", "test set", _sheet(split))
            rows.append((picture._replace(pixels=split.pixel_range is not None),))
    shown, settings = wide.drop_duplicates(["run", "setting"]), 0
    if metric and len(shown) > SHEETS:
        shown = shown.sort_values(metric.name, ascending=metric.better == "lower")
    axes = [axis for axis in data.axes if axis not in data.evaluation_axes]
    same = [axis for axis in axes if axis != DENOISE]
    for _, group in shown.groupby(["run", *same], sort=False):
        if settings >= SHEETS:
            break
        row: list[CaptionedFigure] = []
        for _, setting in sorted(group.iterrows(), key=lambda each: not _is_denoised(each[1])):
            drawn = _drawn(paths, setting)
            if drawn:
                name = file_name("samples", setting["run"], setting["setting"])
                title = format_axes({axis: setting[axis] for axis in same}) or "samples"
                if DENOISE in axes:
                    title += ", denoised" if _is_denoised(setting) else ", raw"
                caption = f"{metric.title} {format_number(setting[metric.name])}" if metric else ""
                beside = real[setting.get("dataset", datasets[0])]
                picture = CaptionedFigure(name, title, caption, _sheet(drawn, beside))
                row.append(picture._replace(pixels=drawn.pixel_range is not None))
        rows += [tuple(row)] if row else []
        settings += len(row)
    return Sheets(rows, settings)


def _is_denoised(setting: pd.Series[Any]) -> bool:
    """Tell whether a setting takes the last denoising step: axes of truth values hold texts."""
    return bool(setting.get(DENOISE) == "true")


def overview(
    paths: StudyPaths,
    data: ReportData,
    wide: pd.DataFrame,
    metric: RankedMetric | None,
    datasets: list[str],
) -> Iterator[CaptionedFigure]:
    """Yield real samples and those of the best configuration (its first seed), if there are any.

    Of several datasets it shows the first.
    """
    first = wide[wide["dataset"] == datasets[0]] if "dataset" in wide else wide
    for where, row in itertools.islice(_best_settings(data, first, metric), 1):
        real, drawn = _real(paths, datasets[0]), _drawn(paths, row)
        if not real or not drawn:
            return
        name = format_axes(where) or "samples"
        if real.pixel_range is None:
            figure = plots.points(drawn.values[:POINTS], real.values[:POINTS], width=4.9)
        else:
            title = name if len(name) <= LONG_TITLE else "best setting"
            figure = plots.side_by_side([("real test images", tile(real)), (title, tile(drawn))])
        kind = "points" if real.pixel_range is None else "images"
        which = f", {format_axes(where)}" if where else ""
        caption = f"Real {kind} and the first ones drawn with the best setting{which}; not chosen."
        yield CaptionedFigure("overview", "Real and drawn", caption, plots.png(figure))


def _best_settings(
    data: ReportData, wide: pd.DataFrame, metric: RankedMetric | None
) -> Iterator[tuple[dict[str, Any], pd.Series[Any]]]:
    """Yield the best configuration of each dataset and point of the evaluation grid.

    That is the values of its axes, and the row of its first seed.
    """
    if metric is None:
        return
    axes = [axis for axis in data.axes if not is_repeat(axis)]
    apart = [axis for axis in data.axes if is_incomparable_axis(data, axis)]
    for _, part in group_by_axes(wide[wide[metric.name].notna()], apart):
        top = best(summarise(part, metric, axes), metric)
        same = part[(part[axes] == top[axes]).all(axis="columns")] if axes else part
        yield {axis: top[axis] for axis in axes}, same.iloc[0]


def neighbours(
    paths: StudyPaths,
    data: ReportData,
    wide: pd.DataFrame,
    metric: RankedMetric | None,
    datasets: list[str],
) -> Iterator[CaptionedFigure]:
    """Yield the first images of the best configuration over their nearest training images."""
    seen = set()
    for where, row in _best_settings(data, wide, metric):
        drawn = _drawn(paths, row)
        if (row["run"], row["setting"]) in seen or not drawn or drawn.pixel_range is None:
            continue
        seen.add((row["run"], row["setting"]))
        dataset = row.get("dataset", datasets[0])
        real = _real(paths, dataset, "train")
        if not real:
            continue
        first = drawn.first(NEIGHBOURS)
        nearest = replace(real, values=real.values[nearest_images(first, real)])
        figure = plots.pairs(tile_pairs(first, nearest), math.ceil(len(nearest.values) / COLUMNS))
        caption = (
            f"The first {len(nearest.values)} samples{title_suffix(where)}, each over the "
            f"nearest of "
            f"{len(real.values):,} training images, by the distance of their pixels. Pairs that "
            f"can hardly be told apart are training images learned by heart."
        )
        name = file_name("neighbours", row["run"], row["setting"])
        yield CaptionedFigure(name, "Nearest training images", caption, plots.png(figure))


def signals_to_noise(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield how large the score's part of a Langevin step is beside its noise, level by level."""
    dataset = data.tree["sampling"].to_dataset()
    if "signal_to_noise" not in dataset:
        return
    frame = to_frame(dataset[["sigma", "signal_to_noise"]]).dropna()
    if frame.empty:
        return
    axes = [axis for axis in data.axes if axis in frame and frame[axis].nunique() > 1]
    axes = [axis for axis in axes if axis != DENOISE]  # a step after the last of these
    labels = {"xlabel": "noise level σ", "title": "signal to noise of a step, √(η/2) ‖s‖ / √D"}
    labels |= {"xscale": "log", "yscale": plots.log_or_linear(frame["signal_to_noise"])}
    figure = plots.curves(frame, "sigma", "signal_to_noise", axes, labels)
    caption = (
        f"How large η s is beside √(2η) z in the last step at each level. Under the step rule "
        f"“variance” it is the same at every level where the score grows as 1/σ. {BANDS}"
    )
    yield CaptionedFigure(
        "signal_to_noise", "Signal-to-noise ratio", caption, plots.png(figure), charted=True
    )


def trajectory_figures(
    paths: StudyPaths, data: ReportData, wide: pd.DataFrame, metric: RankedMetric | None
) -> Iterator[CaptionedFigure]:
    """Yield the ways down the ladder that the best configuration has kept, of each dataset."""
    for where, row in _best_settings(data, wide, metric):
        if not _drawn(paths, row):
            continue
        trajectories = read_trajectories(paths.samples(row["run"], row["setting"]))
        if trajectories is None:
            continue
        is_image = trajectories.states.ndim == 5
        png = (
            trajectory_strip(trajectories.states)
            if is_image
            else plots.png(plots.trajectories(*astuple(trajectories)))
        )
        title = "Ways down the ladder"
        caption = (
            f"States of {len(trajectories.states)} samples after each level{title_suffix(where)}"
            + (", the first level on the left." if is_image else ".")
        )
        name = file_name(
            "walks", *(where[axis] for axis in where if is_incomparable_axis(data, axis))
        )
        yield CaptionedFigure(name, title, caption, png, pixels=is_image)


def _real(paths: StudyPaths, dataset: str, split: str = "test") -> Split | None:
    """Return real samples; None where they are not there any more."""
    try:
        return read_split(paths.dataset_store(dataset), split)
    except InputError:
        return None


def _drawn(paths: StudyPaths, row: pd.Series[Any]) -> Split | None:
    """Return the samples of a setting; None where they are not there any more."""
    try:
        return read_samples(paths.samples(row["run"], row["setting"]))
    except InputError:
        return None


def _sheet(split: Split, real: Split | None = None) -> bytes:
    """Return the first images of a split; of points a picture, over `real` ones."""
    if split.pixel_range is not None:
        return sample_grid(split)
    first = split.values[:POINTS]
    drawn, beside = (first, real.values[:POINTS]) if real else (None, first)
    return plots.png(plots.points(drawn, beside))
