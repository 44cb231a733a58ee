"""Titles of the metrics that rank settings."""

from __future__ import annotations

import pandas as pd
import pytest
import xarray as xr

from scoresweep.pipeline.report.tables.ranking import ranking_metrics


@pytest.mark.parametrize(
    ("attributes", "title"),
    [
        ({"units": "m", "metric_key": "depth-1f3a9c02"}, "depth error [m]"),
        ({"units": "m", "metric_key": "depth-1", "extractor": "rows"}, "depth error (rows) [m]"),
        ({"units": "1", "metric_key": "depth-1f3a9c02"}, "depth error"),
        ({"units": "m"}, "depth error"),
    ],
)
def test_the_unit_of_an_own_metric_follows_its_title(
    attributes: dict[str, str], title: str
) -> None:
    about = {"long_name": "depth error", "better": "lower", **attributes}
    sampling = xr.Dataset({"depth": (("run", "setting"), [[1.0]], about)})
    (metric,) = ranking_metrics(sampling, pd.DataFrame({"depth": [1.0]}))
    assert metric.title == title
