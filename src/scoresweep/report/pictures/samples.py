"""Samples, real ones beside them, and their ways down the ladder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import Any

import pandas as pd

from scoresweep.data.store import Split, read_paths, read_samples, read_split
from scoresweep.errors import InputError
from scoresweep.report import figures
from scoresweep.report.pictures.base import (
    BANDS,
    Picture,
    file_name,
    is_apart,
    of,
    to_frame,
)
from scoresweep.report.sheets import contact_sheet, film, tile
from scoresweep.report.summary import (
    Metric,
    best,
    configurations,
    describe,
    is_repeat,
    number,
    summarise,
)
from scoresweep.report.tables import Tables
from scoresweep.study import Layout

__all__ = ["overview", "sample_sheets", "shown_settings", "signals_to_noise", "walks"]

POINTS = 2000
"""Most points of a picture."""

LONG_TITLE = 34
"""Most letters of a title over one of two pictures."""

SHEETS = 24
"""Most settings whose samples are shown."""


def sample_sheets(
    layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric | None, datasets: list[str]
) -> Iterator[Picture]:
    """Yield a sheet of real samples for each dataset, and one for each setting.

    Of more settings than fit, the best by `metric` are shown. A store that is not there any more,
    or not whole, has no sheet.
    """
    real = {dataset: _real(layout, dataset) for dataset in datasets}
    for dataset, split in real.items():
        if split:
            title = f"Real: {dataset}"
            yield Picture(file_name("samples_real", dataset), title, "test set", _sheet(split))
    shown = wide
    if metric and len(wide) > SHEETS:
        shown = wide.sort_values(metric.name, ascending=metric.better == "lower")
    for _, row in shown.head(SHEETS).iterrows():
        drawn = _drawn(layout, row)
        if drawn:
            title = describe({axis: row[axis] for axis in tables.axes}) or "samples"
            caption = f"{metric.title} {number(row[metric.name])}" if metric else ""
            name = file_name("samples", row["run"], row["setting"])
            beside = real[row.get("dataset", datasets[0])]
            yield Picture(name, title, caption, _sheet(drawn, beside))


def overview(
    layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric | None, datasets: list[str]
) -> Iterator[Picture]:
    """Yield real samples and those of the best configuration (its first seed), if there are any.

    Of several datasets it shows the first.
    """
    first = wide[wide["dataset"] == datasets[0]] if "dataset" in wide else wide
    if metric is None or first[metric.name].isna().all():
        return
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    top = best(summarise(first, metric, axes), metric)
    same = first[(first[axes] == top[axes]).all(axis="columns")] if axes else first
    real, drawn = _real(layout, datasets[0]), _drawn(layout, same.iloc[0])
    if not real or not drawn:
        return
    where = describe({axis: top[axis] for axis in axes}) or "samples"
    if real.pixel_range is None:
        figure = figures.points(drawn.values[:POINTS], real.values[:POINTS], width=4.9)
    else:
        title = where if len(where) <= LONG_TITLE else "best setting"
        figure = figures.side_by_side([("real test images", tile(real)), (title, tile(drawn))])
    kind = "points" if real.pixel_range is None else "images"
    caption = f"Real {kind} and the first ones drawn with the best setting, {where}; not chosen."
    yield Picture("overview", "Real and drawn", caption, figures.png(figure))


def shown_settings(pictures: Sequence[Picture]) -> int:
    """Return how many of the pictures are sheets of a setting."""
    return sum(not picture.title.startswith("Real: ") for picture in pictures)


def signals_to_noise(tables: Tables) -> Iterator[Picture]:
    """Yield how large the score's part of a Langevin step is beside its noise, level by level."""
    dataset = tables.tree["sampling"].to_dataset()
    if "signal_to_noise" not in dataset:
        return
    frame = to_frame(dataset[["sigma", "signal_to_noise"]]).dropna()
    axes = [axis for axis in tables.axes if axis in frame and frame[axis].nunique() > 1]
    labels = {"xlabel": "noise level σ", "title": "signal to noise of a step, √(η/2) ‖s‖ / √D"}
    figure = figures.curves(
        frame, "sigma", "signal_to_noise", axes, labels | {"xscale": "log", "yscale": "log"}
    )
    caption = (
        f"How large η s is beside √(2η) z in the last step at each level. Under the step rule "
        f"“variance” it is the same at every level where the score grows as 1/σ. {BANDS}"
    )
    yield Picture("signal_to_noise", "Signal-to-noise ratio", caption, figures.png(figure))


def walks(layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric) -> Iterator[Picture]:
    """Yield the ways down the ladder that the best configuration has kept, of each dataset."""
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    apart = [axis for axis in tables.axes if is_apart(tables, axis)]
    for key, part in configurations(wide[wide[metric.name].notna()], apart):
        top = best(summarise(part, metric, axes), metric)
        row = (part[(part[axes] == top[axes]).all(axis="columns")] if axes else part).iloc[0]
        where = {axis: top[axis] for axis in axes}
        if not _drawn(layout, row):
            continue
        paths = read_paths(layout.samples(row["run"], row["setting"]))
        if paths is None:
            continue
        is_image = paths.states.ndim == 5
        png = film(paths.states) if is_image else figures.png(figures.walks(*astuple(paths)))
        title = "Ways down the ladder"
        caption = f"The states in which {len(paths.states)} samples leave the levels{of(where)}" + (
            ", the first level on the left." if is_image else "."
        )
        name = file_name("walks", *key)
        yield Picture(name, title, caption, png)


def _real(layout: Layout, dataset: str) -> Split | None:
    """Return the test set; None where it is not there any more."""
    try:
        return read_split(layout.dataset_store(dataset), "test")
    except InputError:
        return None


def _drawn(layout: Layout, row: pd.Series[Any]) -> Split | None:
    """Return the samples of a setting; None where they are not there any more."""
    try:
        return read_samples(layout.samples(row["run"], row["setting"]))
    except InputError:
        return None


def _sheet(split: Split, real: Split | None = None) -> bytes:
    """Return the first images of a split; of points a picture, over `real` ones."""
    if split.pixel_range is not None:
        return contact_sheet(split)
    first = split.values[:POINTS]
    drawn, beside = (first, real.values[:POINTS]) if real else (None, first)
    return figures.png(figures.points(drawn, beside))
