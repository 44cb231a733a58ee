"""Student's interval against scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from scoresweep.report.intervals import mean_interval


@pytest.mark.parametrize("values", [[0.1, 0.4], [3.0, 4.0, 5.5], list(np.arange(10.0) ** 2)])
def test_equals_scipys_interval(values: list[float]) -> None:
    interval = mean_interval(values)
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
    )
    assert interval.mean == pytest.approx(np.mean(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.n == len(values)


def test_leaves_out_what_is_missing() -> None:
    assert mean_interval([1.0, math.nan, 3.0]) == mean_interval([1.0, 3.0])


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    one, none = mean_interval([2.0]), mean_interval([math.nan])
    assert one.mean == 2.0
    assert one.n == 1
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert math.isnan(none.mean)
    assert none.n == 0
