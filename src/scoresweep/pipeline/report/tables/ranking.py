"""The metrics of a report that can rank settings, with their titles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.statistics.summary import RankedMetric, main_metric
from scoresweep.pipeline.report.tables.frames import metric_names

__all__ = ["ranking_metrics"]


def ranking_metrics(sampling: xr.Dataset, rows: pd.DataFrame) -> list[RankedMetric]:
    """Return the metrics of the group `sampling` with a direction, the main one first.

    `rows` is the table of the same report, a row for each measured setting.
    """
    metrics = []
    for name in metric_names(sampling):
        about = {str(key): value for key, value in sampling[name].attrs.items()}
        if name in rows and "better" in about:
            sides = {"": name, "real": f"{name}_real", "noise": f"{name}_noise"}
            sizes = {
                side: sampling[variable].attrs["n_generated"]
                for side, variable in sides.items()
                if variable in sampling and "n_generated" in sampling[variable].attrs
            }
            metrics.append(RankedMetric(name, _title(name, about), about["better"], about, sizes))
    main = main_metric(metrics)
    return sorted(metrics, key=lambda metric: metric is not main)


def _title(name: str, about: Mapping[str, Any]) -> str:
    """Return "Fréchet distance (classifier)" and the like, always with the extractor.

    The unit of a metric of a plugin follows in brackets, as in "brightness [grey]".
    """
    title, extractor = str(about.get("long_name", name)), str(about.get("extractor", ""))
    unit = str(about.get("units", "")) if "metric_key" in about else ""
    end = f" [{unit}]" if unit not in ("", "1") else ""
    return f"{title}{end}" if not extractor or extractor in title else f"{title} ({extractor}){end}"
