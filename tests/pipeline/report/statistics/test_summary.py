"""Means, the best setting, and how values are written."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_value,
)
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import RankedMetric, best, main_metric, summarise
from scoresweep.pipeline.study.axis_names import is_repeat

ROWS = pd.DataFrame(
    {
        "levels": [10, 10, 30, 30],
        "seed": [0, 1, 0, 1],
        "distance": [1.0, 2.0, 0.5, math.nan],
        "distance_low": [0.9, 1.9, 0.4, math.nan],
        "distance_high": [1.2, 2.2, 0.7, math.nan],
        "distance_real": [0.1, 0.3, 0.1, 0.3],
    }
)
FRAME = label_repeats(ROWS, ["seed"], [], pd.Series(False, ROWS.index))
DISTANCE = RankedMetric("distance", "distance", "lower", {})


def test_seeds_give_students_interval_and_one_keeps_its_own() -> None:
    table = summarise(FRAME, DISTANCE, ["levels"]).set_index("levels")
    low, high = stats.t.interval(0.95, 1, loc=1.5, scale=stats.sem([1.0, 2.0]))
    expected = [1.5, low, high, 2]
    assert table.loc[10, ["mean", "low", "high", "networks"]].tolist() == pytest.approx(expected)
    assert table.loc[30, ["mean", "low", "high", "networks"]].tolist() == [0.5, 0.4, 0.7, 1]
    assert table.loc[10, "real"] == pytest.approx(0.2)
    assert math.isnan(table.loc[10, "noise"])


def test_positive_metrics_have_positive_intervals() -> None:
    metric = RankedMetric("distance", "distance", "lower", {"valid_min": 0.0})
    near = FRAME.assign(distance=[1.4, 1.6, 0.5, math.nan])
    row = summarise(near, metric, ["levels"]).set_index("levels").loc[10]
    error = stats.sem([1.4, 1.6]) / 1.5
    expected = np.exp(stats.t.interval(0.95, 1, loc=math.log(1.5), scale=error))
    assert row[["low", "high"]].tolist() == pytest.approx(expected.tolist())
    row = summarise(FRAME, metric, ["levels"]).set_index("levels").loc[10]
    half = stats.t.ppf(0.975, 1) * stats.sem([1.0, 2.0])
    assert half > 1.5
    assert row["low"] == pytest.approx(1.5 * math.exp(-half / 1.5))
    assert row["high"] == pytest.approx(math.e * half)


def test_intervals_of_shares_stay_between_0_and_1() -> None:
    metric = RankedMetric("distance", "share", "higher", {"valid_min": 0.0, "valid_max": 1.0})
    frame = FRAME.assign(distance=[0.5, 0.9, 0.5, math.nan])
    row = summarise(frame, metric, ["levels"]).set_index("levels").loc[10]
    assert row[["mean", "low", "high"]].tolist() == [0.7, 0, 1]
    assert format_interval(row) == "0 to 1"
    assert (
        format_interval({"low": 1.0, "high": 1.0})
        == format_interval({"low": math.nan, "high": 1.0})
        == ""
    )


def test_references_state_their_numbers_of_samples() -> None:
    metric = RankedMetric("distance", "distance", "lower", {}, {"": [100, 1000], "real": 360})
    assert metric.count() == "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}100 or 1,000"
    row = {"real": 0.107, "noise": 9.9}
    assert metric.references(row) == [
        f"real test samples ({metric.count('real')}) 0.107",
        "uniform noise 9.90",
    ]
    assert metric.references({"real": math.nan, "noise": math.nan}) == []


def test_the_best_depends_on_the_direction_of_the_metric() -> None:
    table = summarise(FRAME, DISTANCE, ["levels"])
    assert best(table, DISTANCE)["levels"] == 30
    assert best(table, RankedMetric("distance", "", "higher", {}))["levels"] == 10


def test_main_metric_is_a_frechet_distance_on_learned_features() -> None:
    names = ["kid", "frechet_infinity_classifier", "frechet_pixels", "frechet_classifier"]
    names += ["fid_infinity", "fid_half_pixel", "fid"]
    for expected in ("fid", "fid_half_pixel", "frechet_classifier", "frechet_pixels"):
        found = main_metric([RankedMetric(name, name, "lower", {}) for name in names])
        assert found is not None
        assert found.name == expected
        names.remove(expected)
    assert main_metric([]) is None
    recall = RankedMetric("recall", "recall", "higher", {"caveat": "noise reaches 1, too"})
    coverage = RankedMetric("coverage_pixels", "coverage", "higher", {})
    assert main_metric([recall, coverage]) is coverage


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.21349, "0.213"),
        (0.1, "0.100"),
        (12.345, "12.3"),
        (2e-5, "2e-5"),
        (1234.5, "1,234"),
        (1500, "1,500"),
        (999.7, "1,000"),
        (3.2e7, "3.2e7"),
        (-0.0427, "−0.0427"),
        (0.0, "0"),
        (math.nan, "–"),
        ("auto", "auto"),
    ],
)
def test_numbers_have_three_digits(value: object, text: str) -> None:
    assert format_number(value) == text


def test_axes_are_written_as_in_the_study() -> None:
    assert format_value(0.000025) == "2.5e-5"
    assert format_axes({"step_size": 2e-5, "levels": 10}) == "step size 2e-5, levels 10"
    assert is_repeat("seed")
    assert is_repeat("sample_seed")
    assert not is_repeat("levels")
