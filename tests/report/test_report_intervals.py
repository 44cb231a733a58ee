"""Student's interval against scipy's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scoresweep.report.intervals import half_width


@pytest.mark.parametrize("values", [[0.1, 0.4], [3.0, 4.0, 5.5], list(np.arange(10.0) ** 2)])
def test_equals_scipys_interval(values: list[float]) -> None:
    n, mean = len(values), np.mean(values)
    low, high = stats.t.interval(0.95, n - 1, loc=mean, scale=stats.sem(values))
    half = half_width(np.std(values, ddof=1), n)
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_one_value_has_no_interval() -> None:
    half = half_width([np.nan, 1.0, np.nan], [1, 2, 0])
    assert np.isnan(half).tolist() == [True, False, True]
    # With one degree of freedom the t distribution is Cauchy's: its quantile is tan(0.475 π).
    assert half[1] == pytest.approx(np.tan(0.475 * np.pi) / np.sqrt(2))
