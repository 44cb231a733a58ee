"""Shares of classes, shapes and modes among samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report import plots
from scoresweep.pipeline.report.format import format_axes
from scoresweep.pipeline.report.sections.captioned_figure import (
    CaptionedFigure,
    captioned,
    file_name,
    incomparable_axes,
    title_suffix,
    to_frame,
    varied_axes,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric, group_by_axes
from scoresweep.pipeline.report.tables.report_data import ReportData

__all__ = ["shares"]

SHARES = {
    "class_share": ("class", {"class_share_real": "real test samples"}, "the classifier"),
    "shape_share": (
        "shape",
        {"shape_share_real": "real test samples", "shape_asked": "share requested in the study"},
        "the nearest mask",
    ),
    "mode_share": (
        "mode",
        {"mode_share_real": "real test samples", "mode_weight": "weight in the mixture"},
        "the likeliest component",
    ),
}
"""Variable to its category, its references, and what assigns samples to categories."""


def shares(data: ReportData, wide: pd.DataFrame, metric: RankedMetric) -> Iterator[CaptionedFigure]:
    """Yield the shares among the samples of the best configuration by `metric`.

    Each dataset and each point of the evaluation grid has figures of its own.
    """
    sampling = data.tree["sampling"].to_dataset()
    axes, incomparable = varied_axes(data), incomparable_axes(data)
    for name in SHARES.keys() & sampling.keys():
        for key, part in group_by_axes(wide[wide[metric.name].notna()], incomparable):
            top = data.summary.best(metric.name, part)
            where = dict(zip(incomparable, key, strict=True))
            yield _shares(sampling, name, {axis: top[axis] for axis in axes}, where)


def _shares(
    sampling: xr.Dataset, name: str, top: dict[str, Any], where: dict[str, Any]
) -> CaptionedFigure:
    kind, references, classifier = SHARES[name]
    names = [n for n in (name, *references) if n in sampling]
    (along,) = {"class", "mode"} & set(sampling[name].dims)
    frame = to_frame(sampling[names])
    axes = [axis for axis in top if axis in frame]
    is_best = (frame[axes] == pd.Series(top)[axes]).all(axis="columns")
    means = frame[is_best].groupby(along, sort=False)[names].mean()
    figure = plots.shares(means.rename(columns={name: "drawn", **references}), kind)
    caption = (
        f"Samples of the best setting{title_suffix(top)}, assigned by {classifier}. Least "
        f"frequent: {kind} {means[name].idxmin()} with {100 * means[name].min():.1f} %."
    )
    title = f"Share of each {kind}" + (f", {format_axes(where)}" if where else "")
    file = file_name(f"{name}s", *where.values())
    return captioned(file, title, caption, figure)
