"""What figures of a report have in common."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.format import format_axes, is_repeat
from scoresweep.pipeline.report.statistics.summary import group_by_axes
from scoresweep.pipeline.report.tables.collect import ReportData

__all__ = [
    "BANDS",
    "CaptionedFigure",
    "by_configuration",
    "file_name",
    "is_incomparable_axis",
    "title_suffix",
    "to_frame",
]


class CaptionedFigure(NamedTuple):
    """A PNG file with its name (without suffix), title and caption."""

    name: str
    title: str
    caption: str
    png: bytes
    charted: bool = False
    """Whether an interactive chart shows the same: then it is for paper."""
    pixels: bool = False
    """Whether it is enlarged pixels, which a page must not smooth."""


BANDS = "Bands go from the least to the greatest of the seeds."

CONFIGURATIONS = 4
"""Most configurations of the runs that have figures of their own."""


def is_incomparable_axis(data: ReportData, axis: str) -> bool:
    """Tell whether the values of an axis cannot be averaged or compared."""
    return axis == "dataset" or (axis in data.evaluation_axes and not is_repeat(axis))


def by_configuration(
    data: ReportData, frame: pd.DataFrame, column: str, most: int = CONFIGURATIONS
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the first configurations of trained networks, and the rows that they have.

    A configuration is the values of the axes that tell trained networks apart.
    """
    trained = frame[~frame["run"].isin(data.exact_runs) & frame[column].notna()]
    axes = [axis for axis in data.axes if axis in frame and not is_repeat(axis)]
    axes = [axis for axis in axes if trained[axis].nunique() > 1]
    for key, part in itertools.islice(group_by_axes(trained, axes), most):
        yield dict(zip(axes, key, strict=True)), part


def to_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """Return a row for each point of the dimensions of `dataset`."""
    if not dataset.sizes:  # one run, and nothing that varies
        dataset = dataset.expand_dims("row")
    return dataset.to_dataframe().reset_index()


def title_suffix(point: dict[str, Any]) -> str:
    """Return what a title says of the point of the study that it is about."""
    return f", {format_axes(point)}" if point else ""


def file_name(*parts: object) -> str:
    """Join the parts of a picture's name to one that every file system takes."""
    name = "_".join(map(str, parts))
    return "".join(c if c.isalnum() or c in "=._+-" else "-" for c in name)[:180]
