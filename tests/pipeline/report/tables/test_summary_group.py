"""The summary in `report.nc` and `summary.csv`, against scipy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.report_summary import (
    ReportSummary,
    summarise_configurations,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.summary_group import summary_frame, summary_group

SHARE = RankedMetric("share", "share", "higher", {"extractor": "pixels"}, {"": [20]})
VALUES = {(4, "b"): [1.0, 5.0, 9.0], (6, "b"): [0.5, 4.4, 8.6], (4, "a"): [0.0, 9.0, 30.0]}
"""Levels and name to the values of three seeds; the names are not compared."""


def rows(exact: bool = False) -> pd.DataFrame:
    points = [
        {"rank": rank, "name": name, "seed": seed, "share": value}
        for (rank, name), values in VALUES.items()
        for seed, value in enumerate(values)
    ]
    frame = pd.DataFrame(points)
    return label_repeats(frame, ["seed"], [], pd.Series(exact, frame.index))


def summarised(frame: pd.DataFrame, ranked: pd.Series[bool] | None) -> ReportSummary:
    axes, within = ["rank", "name"], ["name"]
    table = summarise_configurations(frame, SHARE, axes, within, ranked)
    return ReportSummary(axes, within, {"share": SHARE}, {"share": table})


def test_means_intervals_and_paired_differences() -> None:
    frame = rows()
    group = summary_group(summarised(frame, frame["share"].notna()), frame, {})
    # An axis with the name of a column has another one.
    assert group["mean"].dims == ("metric", "option_rank", "name")
    assert group["name"].values.tolist() == ["b", "a"], "in the order of the study"
    worse = group.sel(metric="share", option_rank=6, name="b")
    interval = stats.t.interval(0.95, 2, np.mean([0.5, 4.4, 8.6]), stats.sem([0.5, 4.4, 8.6]))
    assert [worse["mean"], worse["low"], worse["high"]] == pytest.approx([4.5, *interval])
    gaps = [-0.5, -0.6, -0.4]
    ends = stats.t.interval(0.95, 2, np.mean(gaps), stats.sem(gaps))
    found = [worse[name].item() for name in ("difference", "difference_low", "difference_high")]
    assert found == pytest.approx([-0.5, *ends])
    facts = [worse[name].item() for name in ("rank", "networks", "samplings", "pairs", "is_tied")]
    assert facts == [2, 3, 3, 3, 0]
    assert worse["difference_from"].item() == "networks"
    best = group.sel(metric="share", option_rank=4)
    assert best["rank"].values.tolist() == [1, 1], "one for each name"
    # Of two: the worse end leaves out 2.5 % / 2.
    low = 5 - stats.t.ppf(1 - 0.025 / 2, 2) * stats.sem([1, 5, 9])
    assert best["best_low"].sel(name="b").item() == pytest.approx(low)
    assert (group["title"].item(), group["n_generated"].item()) == ("share", "20")
    assert group.attrs == {"axes": ["option_rank", "name"], "compared_within": ["name"]}


def test_the_table_has_the_same_numbers_and_the_best_first() -> None:
    frame = rows()
    summary = summarised(frame, frame["share"].notna())
    table = summary_frame(summary)
    assert table[["option_rank", "name", "rank"]].values.tolist() == [
        [4, "a", 1],
        [4, "b", 1],
        [6, "b", 2],
    ]
    group = summary_group(summary, frame, {})
    for row in table.to_dict("records"):
        cell = group.sel({axis: row[axis] for axis in ("metric", "option_rank", "name")})
        for column in ("mean", "low", "difference_high", "error", "best_low", "is_tied"):
            assert row[column] == pytest.approx(cell[column].item(), nan_ok=True)


def test_what_is_not_ranked_has_no_rank() -> None:
    frame = rows()
    group = summary_group(summarised(frame, frame["rank"] != 4), frame, {})
    assert math.isnan(group["rank"].sel(option_rank=4, name="b").item())
    assert group["rank"].sel(option_rank=6, name="b") == 1
    assert summary_group(summarised(frame, None), frame, {})["rank"].isnull().all()
