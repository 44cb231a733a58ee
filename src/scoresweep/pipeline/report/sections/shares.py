"""How samples share out over classes, shapes and modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report import plots
from scoresweep.pipeline.report.format import format_axes, is_repeat
from scoresweep.pipeline.report.sections.base import (
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

__all__ = ["shares"]

SHARES = {
    "class_share": ("class", {"class_share_real": "real test samples"}, "the classifier takes"),
    "shape_share": (
        "shape",
        {"shape_share_real": "real test samples", "shape_asked": "asked of the dataset"},
        "the nearest mask takes",
    ),
    "mode_share": (
        "mode",
        {"mode_share_real": "real test samples", "mode_weight": "weight in the mixture"},
        "the likeliest component takes",
    ),
}
"""Variable to what it is a share of, what it is compared with, and who says so."""


def shares(data: ReportData, wide: pd.DataFrame, metric: RankedMetric) -> Iterator[CaptionedFigure]:
    """Yield the shares of classes, shapes and modes among the samples of the best configuration.

    The best is that by `metric`, of each dataset and point of the evaluation grid.
    """
    sampling = data.tree["sampling"].to_dataset()
    axes = [axis for axis in data.axes if not is_repeat(axis)]
    apart = [axis for axis in data.axes if is_incomparable_axis(data, axis)]
    for name in SHARES.keys() & sampling.keys():
        for key, part in group_by_axes(wide[wide[metric.name].notna()], apart):
            top = best(summarise(part, metric, axes), metric)
            where = dict(zip(apart, key, strict=True))
            yield _shares(sampling, name, {axis: top[axis] for axis in axes}, where)


def _shares(
    sampling: xr.Dataset, name: str, top: dict[str, Any], where: dict[str, Any]
) -> CaptionedFigure:
    kind, references, who = SHARES[name]
    names = [n for n in (name, *references) if n in sampling]
    (along,) = {"class", "mode"} & set(sampling[name].dims)
    frame = to_frame(sampling[names])
    here = frame[[axis for axis in top if axis in frame]]
    same = (here == pd.Series(top)[here.columns]).all(axis="columns")
    found = frame[same].groupby(along, sort=False)[names].mean()
    figure = plots.shares(found.rename(columns={name: "drawn", **references}), kind)
    caption = (
        f"The samples of the best setting{title_suffix(top)}, as {who} them. Least frequent: "
        f"{kind} "
        f"{found[name].idxmin()} with {100 * found[name].min():.1f} %."
    )
    title = f"Share of each {kind}" + (f", {format_axes(where)}" if where else "")
    file = file_name(f"{name}s", *where.values())
    return CaptionedFigure(file, title, caption, plots.png(figure))
