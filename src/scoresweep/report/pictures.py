"""Which figures a report shows, with their captions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from scoresweep.data.store import Split, read_samples, read_split
from scoresweep.errors import InputError
from scoresweep.report import figures
from scoresweep.report.sheets import contact_sheet, tile
from scoresweep.report.summary import (
    Metric,
    best,
    configurations,
    describe,
    is_repeat,
    number,
    summarise,
    words,
)
from scoresweep.report.tables import Tables
from scoresweep.study import Layout

__all__ = [
    "Picture",
    "class_shares",
    "metric_maps",
    "overview",
    "sample_sheets",
    "score_errors",
    "training_curves",
]

MAPS = 6
"""Most heat maps of the main metric, one for each pair of axes."""

SHEETS = 24
"""Most settings whose samples are shown."""

LADDER = ("levels", "noise", "sigma_max", "sigma_min", "rho", "sigmas")
"""Axes of the noise ladder: the first choice for the rows of a heat map."""

BANDS = "Bands go from the least to the greatest of the seeds."

SCORE_ERRORS = {
    "dsm_loss": (
        "denoising loss on fresh noise, ½ E‖σs + z‖²",
        "How well the network denoises points of the training set (solid) and of the test set "
        "(dashed). The two lie together while it generalises; where test points lie above training "
        f"points, it has begun to learn those by heart. {BANDS}",
    ),
    "score_error_sigma2": (
        "score error, ½ σ² E‖s − s*‖²",
        "How far the network's score s is from s*, the exact score of the smoothed training set. "
        "High on training points: the network is wrong, rather than the sampler. A network that "
        "has learned the training set by heart has no error on test points either, for it returns "
        "s* itself, which at small σ leads back to the nearest training point; one that "
        f"generalises lies above its training points there. {BANDS}",
    ),
    "score_error_relative": (
        "relative score error, E‖s − s*‖² / E‖s*‖²",
        "The same, as a share of the exact score: at 1 the network is no better than a score of "
        "zero.",
    ),
}
"""Variable to title and caption."""


class Picture(NamedTuple):
    """A PNG file with its name (without suffix), title and caption."""

    name: str
    title: str
    caption: str
    png: bytes


# ── metrics over the axes ───────────────────────────────────────────────────────────────────────


def metric_maps(
    tables: Tables, wide: pd.DataFrame, metric: Metric, every_pair: bool
) -> Iterator[Picture]:
    """Yield maps of a metric over a run axis and a sampler axis; a line where only one varies.

    Datasets and points of the evaluation grid get a map each; they are never averaged.
    """
    apart = [axis for axis in tables.axes if is_apart(tables, axis)]
    for key, part in configurations(wide[wide[metric.name].notna()], apart):
        if part[metric.name].nunique() == 1:
            continue  # there is nothing to see in a map of one value
        where = dict(zip(apart, key, strict=True))
        pairs = _pairs(tables, part)
        for pair in pairs[: MAPS if every_pair else 1]:
            yield _metric_map(tables, part, metric, pair, where)


def is_apart(tables: Tables, axis: str) -> bool:
    """Tell whether the values of an axis cannot be averaged or compared."""
    return axis == "dataset" or axis in tables.evaluation_axes


def _pairs(tables: Tables, part: pd.DataFrame) -> list[list[str]]:
    """Return what to draw a metric over: pairs of axes, or the only axis that varies."""
    varied = [axis for axis in tables.axes if part[axis].nunique() > 1 and not is_repeat(axis)]
    varied = [axis for axis in varied if not is_apart(tables, axis)]
    rows = sorted((a for a in varied if a in tables.run_axes), key=lambda a: a not in LADDER)
    columns = [a for a in varied if a in tables.setting_axes]
    pairs = [[column, row] for row, column in itertools.product(rows, columns)]
    return pairs or [[a, b] for b, a in itertools.combinations(varied, 2)] or [[a] for a in varied]


def _metric_map(
    tables: Tables, part: pd.DataFrame, metric: Metric, pair: list[str], where: dict[str, Any]
) -> Picture:
    repeats = [axis for axis in tables.axes if is_repeat(axis) and part[axis].nunique() > 1]
    others = [
        axis for axis in tables.axes if axis not in [*pair, *repeats] and part[axis].nunique() > 1
    ]
    summary = summarise(_averaged(part, metric, [*pair, *repeats], others), metric, pair)
    title = f"{metric.title}, {describe(where)}" if where else metric.title
    draw = figures.heat_map if len(pair) == 2 else figures.lines
    figure = draw(summary, replace(metric, title=title), *pair)
    name = "_".join(["metric", metric.name, *pair, *(str(value) for value in where.values())])
    caption = _caption(summary, metric, pair, repeats, others)
    return Picture(_safe(name), title, caption, figures.png(figure))


def _averaged(
    part: pd.DataFrame, metric: Metric, keep: list[str], others: list[str]
) -> pd.DataFrame:
    """Average over the axes `others`, seed by seed, so that an interval speaks of seeds alone."""
    if not others:
        return part
    sides = [c for c in (f"{metric.name}_real", f"{metric.name}_noise") if c in part]
    return part.groupby(keep, as_index=False)[[metric.name, *sides]].mean()


def _caption(
    summary: pd.DataFrame, metric: Metric, pair: list[str], repeats: list[str], others: list[str]
) -> str:
    top = best(summary, metric)
    if metric.caveat:
        sentences = [f"{metric.better.capitalize()} is better, but {metric.caveat}."]
    else:
        found = f"{describe({a: top[a] for a in reversed(pair)})} with {number(top['mean'])}"
        sentences = [f"{metric.better.capitalize()} is better. Best: {found}."]
    if metric.count():
        sentences.append(f"Samples: {metric.count()}.")
    references = metric.references(summary[["real", "noise"]].mean())
    if references:
        sentences.append(f"For comparison: {', '.join(references)}.")
    if repeats:
        over = " and ".join(f"{words(axis)}s" for axis in repeats)
        sentences.append(f"Mean over {over}, and Student's 95 % interval of it{_scale(metric)}.")
    elif summary["low"].notna().any():
        sentences.append("With the 95 % interval of a single measurement.")
    if others:
        sentences.append(f"Averaged over {', '.join(words(axis) for axis in others)}.")
    return " ".join(sentences)


def _scale(metric: Metric) -> str:
    """Say how an interval is kept where values are possible."""
    if "valid_min" not in metric.about:
        return ""
    return ", cut off at 0 and 1" if "valid_max" in metric.about else ", on a logarithmic scale"


def class_shares(tables: Tables, wide: pd.DataFrame, metric: Metric) -> Iterator[Picture]:
    """Yield the share of each class among the samples of the best configuration by `metric`."""
    sampling = tables.tree["sampling"].to_dataset()
    if "class_share" not in sampling:
        return
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    top = best(summarise(wide, metric, axes), metric)
    names = [name for name in ("class_share", "class_share_real") if name in sampling]
    frame = _frame(sampling[names])
    shares = frame[(frame[axes] == top[axes]).all(axis="columns")].groupby("class")[names].mean()
    real = shares["class_share_real"] if len(names) == 2 else None
    figure = figures.class_shares(shares["class_share"], real)
    caption = (
        f"What the classifier takes the samples of the best setting for, "
        f"{describe({axis: top[axis] for axis in axes})}. Least frequent: class "
        f"{shares['class_share'].idxmin()} with {100 * shares['class_share'].min():.1f} %."
    )
    yield Picture("class_shares", "Share of each class", caption, figures.png(figure))


# ── curves ──────────────────────────────────────────────────────────────────────────────────────


def score_errors(tables: Tables) -> Iterator[Picture]:
    """Yield figures of the score error against σ, where it was measured."""
    dataset = tables.tree["score_error"].to_dataset()
    for name, (title, caption) in SCORE_ERRORS.items():
        if name not in dataset:
            continue
        frame = _frame(dataset[["sigma", name]])
        axes = [axis for axis in tables.axes if axis in frame]
        figure = figures.score_error(frame, name, title, axes)
        yield Picture(name, title, caption, figures.png(figure))


def training_curves(tables: Tables) -> Iterator[Picture]:
    """Yield the training loss, and at its end the loss of every level."""
    dataset = tables.tree["training"].to_dataset()
    if "loss" not in dataset:
        return
    axes = [axis for axis in tables.run_axes if axis in dataset.coords]
    frame = _frame(dataset[["loss"]])
    labels = {"xlabel": "step", "title": "training loss"}
    figure = figures.curves(frame, "step", "loss", axes, labels)
    caption = (
        "Mean since the last point of the curve. Bands go from least to greatest of the seeds."
    )
    yield Picture("training_loss", "Training loss", caption, figures.png(figure))
    if "level_loss" not in dataset:
        return
    final = dataset["level_loss"].where(dataset["step"] > 0.8 * _last_step(dataset)).mean("step")
    frame = _frame(xr.Dataset({"level_loss": final, "sigma": dataset["sigma"]}))
    labels = {"xlabel": "noise level σ", "title": "loss of each level at the end", "xscale": "log"}
    figure = figures.curves(frame, "sigma", "level_loss", axes, labels)
    caption = "Mean over the last fifth of the training, for each noise level."
    yield Picture("level_loss", "Loss of each level", caption, figures.png(figure))


def _last_step(dataset: xr.Dataset) -> xr.DataArray:
    return dataset["step"].where(dataset["loss"].notnull()).max("step")


def _frame(dataset: xr.Dataset) -> pd.DataFrame:
    return dataset.to_dataframe().reset_index()


# ── samples ─────────────────────────────────────────────────────────────────────────────────────


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
            yield Picture(_safe(f"samples_real_{dataset}"), title, "test set", _sheet(split))
    shown = wide
    if metric and len(wide) > SHEETS:
        shown = wide.sort_values(metric.name, ascending=metric.better == "lower")
    for _, row in shown.head(SHEETS).iterrows():
        drawn = _drawn(layout, row)
        if drawn:
            title = describe({axis: row[axis] for axis in tables.axes}) or "samples"
            caption = f"{metric.title} {number(row[metric.name])}" if metric else ""
            name = _safe(f"samples_{row['run']}_{row['setting']}")
            beside = real[row.get("dataset", datasets[0])]
            yield Picture(name, title, caption, _sheet(drawn, beside))


def overview(
    layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric | None, datasets: list[str]
) -> Iterator[Picture]:
    """Yield real images beside those of the best configuration (its first seed), if there are any.

    Of several datasets it shows the first.
    """
    first = wide[wide["dataset"] == datasets[0]] if "dataset" in wide else wide
    if metric is None or first[metric.name].isna().all():
        return
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    top = best(summarise(first, metric, axes), metric)
    same = first[(first[axes] == top[axes]).all(axis="columns")] if axes else first
    real, drawn = _real(layout, datasets[0]), _drawn(layout, same.iloc[0])
    if not real or not drawn or real.pixel_range is None:
        return
    where = describe({axis: top[axis] for axis in axes}) or "samples"
    figure = figures.side_by_side([("real test images", tile(real)), (where, tile(drawn))])
    caption = f"Real images and the first ones drawn with the best setting, {where}; not chosen."
    yield Picture("overview", "Real and drawn", caption, figures.png(figure))


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
    """Return the first images of a split; for points a scatter over real ones."""
    if split.pixel_range is not None:
        return contact_sheet(split)
    beside = (real or split).values[:2000]
    return figures.png(figures.points(split.values[:2000], beside))


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "=._+-" else "-" for c in name)[:180]


def shown_settings(pictures: Sequence[Picture]) -> int:
    """Return how many of the pictures are sheets of a setting."""
    return sum(not picture.title.startswith("Real: ") for picture in pictures)
