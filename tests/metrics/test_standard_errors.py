from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scoresweep.metrics import Features, bounded_interval, frechet_distance, half_sample_errors
from scoresweep.metrics.standard_errors import error_of_share


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.3, 0.5, 0.99])
def test_intervals_of_shares_contain_them(share: float) -> None:
    """Summed over what a hundred samples can show; without the four added ones 0.001 is in 9 %."""
    found = np.arange(101)
    reach = 1.96 * error_of_share(torch.from_numpy(found / 100), 100).numpy()
    held = np.abs(found / 100 - share) <= reach
    assert stats.binom.pmf(found, 100, share)[held].sum() > 0.92
    assert reach[50] == pytest.approx(1.96 * 0.05, rel=0.03)


@pytest.mark.parametrize("count", [200, 201])
def test_error_of_a_mean(count: int) -> None:
    """The scatter over random halves gives s/√n."""
    x = torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = half_sample_errors(
        lambda index: {"mean": x[index].mean(), "both": x[index].mean() * torch.ones(2)},
        count,
        4000,
        torch.Generator().manual_seed(1),
    )
    expected = float(x.std()) / count**0.5
    assert float(errors["mean"]) == pytest.approx(expected, rel=0.04)
    assert errors["both"].tolist() == [pytest.approx(expected, rel=0.04)] * 2


def test_error_of_a_frechet_distance_is_its_scatter_over_new_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    real = Features(torch.randn(2000, 3, generator=generator, dtype=torch.float64))

    def draw() -> Tensor:
        return 1.3 * torch.randn(300, 3, generator=generator, dtype=torch.float64) + 0.2

    fresh = torch.tensor([frechet_distance(real, Features(draw())) for _ in range(150)]).std()
    x = draw()
    errors = half_sample_errors(
        lambda index: {"d": torch.tensor(frechet_distance(real, Features(x[index])))},
        300,
        150,
        generator,
    )
    assert float(errors["d"]) == pytest.approx(float(fresh), rel=0.3)


def test_positive_values_have_positive_intervals() -> None:
    """The interval of the logarithm: its standard error is that of the mean over the mean."""
    values = [0.5, 0.9, 1.5]
    mean, error = np.mean(values), stats.sem(values)
    half = 3 * error
    low, high = bounded_interval(mean, half, 0, None)
    expected = stats.norm.interval(
        2 * stats.norm.cdf(3) - 1, loc=math.log(mean), scale=error / mean
    )
    assert (low, high) == pytest.approx(tuple(np.exp(expected)))
    assert mean - half < 0.1 < low


def test_wide_intervals_continue_along_the_tangent() -> None:
    """Nearly perfect copies: the interval of the logarithm would reach 2e81 or infinity."""
    low, high = bounded_interval([8.9e-5, 1e-6, 1.0, 1.0], [0.02, 0.02, 1.0, 1.001], 0, None)
    np.testing.assert_allclose(low, [0, 0, math.exp(-1), math.exp(-1.001)], atol=1e-90)
    np.testing.assert_allclose(high, [0.02 * math.e, 0.02 * math.e, math.e, 1.001 * math.e])


def test_narrow_intervals_agree_on_both_scales() -> None:
    low, high = bounded_interval([5.0, 0.5], 0.01, 0, None)
    np.testing.assert_allclose(low, [4.99, 0.49], rtol=3e-4)
    np.testing.assert_allclose(high, [5.01, 0.51], rtol=3e-4)


@pytest.mark.parametrize(
    ("value", "half", "limits", "ends"),
    [
        (0.9, 0.2, (0, 1), (0.7, 1)),
        (0.1, 0.2, (0, 1), (0, 0.3)),
        (0.1, 0.2, (None, None), (-0.1, 0.3)),
        (0.0, 0.2, (0, None), (0, 0.2)),
    ],
)
def test_intervals_are_limited_to_possible_values(
    value: float,
    half: float,
    limits: tuple[float | None, float | None],
    ends: tuple[float, float],
) -> None:
    assert bounded_interval(value, half, *limits) == pytest.approx(ends)


def test_missing_intervals_stay_missing() -> None:
    assert np.isnan(bounded_interval([1.0, 0.0], np.nan, 0, None)).all()
