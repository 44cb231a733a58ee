"""A `report.nc` that holds only the summary, of known numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.report_summary import (
    ReportSummary,
    summarise_configurations,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.summary_group import summary_group

DISTANCE = RankedMetric(
    "distance",
    "Fréchet distance",
    "lower",
    {"extractor": "Inception_2015 & more", "n_real": 50, "resize": "antialias"},
    {"": 1000},
)
SHARE = RankedMetric("share", "share", "higher", {"caveat": "copies reach 1, too"}, {"": 20})


def write_summary(
    path: Path,
    axes: Sequence[str],
    values: Mapping[tuple[Any, ...], Sequence[float]],
    within: Sequence[str] = (),
) -> Path:
    """Write the summary of DISTANCE, and of SHARE, which is 1 / (1 + DISTANCE).

    `values` maps each point of `axes` to the distances of its seeds.
    """
    points = [
        dict(zip(axes, key, strict=True))
        | {"seed": seed, "distance": value, "share": 1 / (1 + value)}
        for key, distances in values.items()
        for seed, value in enumerate(distances)
    ]
    frame = pd.DataFrame(points)
    frame = label_repeats(frame, ["seed"], [], pd.Series(False, frame.index))
    tables = {
        metric.name: summarise_configurations(frame, metric, axes, within, ranked)
        for metric, ranked in ((DISTANCE, frame["distance"].notna()), (SHARE, None))
    }
    metrics = {metric.name: metric for metric in (DISTANCE, SHARE)}
    group = summary_group(ReportSummary(axes, within, metrics, tables), frame, {})
    group.to_netcdf(path, group="summary", engine="h5netcdf")
    return path
