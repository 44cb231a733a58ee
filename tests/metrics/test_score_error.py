from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture, SmoothedData
from scoresweep.metrics import compare_scores, score_error
from scoresweep.score import Score


@pytest.fixture
def oracle() -> GaussianMixture:
    return GaussianMixture(torch.ones(1), torch.zeros(1, 3), torch.ones(1))


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_a_scaled_score_of_a_gaussian(oracle: GaussianMixture, sigma: float) -> None:
    """x ~ N(0, v I) with v = 1 + σ²: s* = −x/v and E|s*|² = D/v; s = 1.5 s* errs by s*/2."""
    clean = oracle.sample(20_000, 0.0, torch.Generator().manual_seed(0))

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return 1.5 * oracle(x, sigma)

    found = score_error(score, oracle, clean, sigma, torch.Generator().manual_seed(1))
    variance = 1 + sigma**2
    # σs + z is Gaussian; its variance along each axis is (1.5σ/v)² v − 2·1.5σ·σ/v + 1.
    loss = 0.5 * 3 * (2.25 * sigma**2 / variance - 3 * sigma**2 / variance + 1)
    for name, expected in {
        "score_error": 0.5 * 0.25 * 3 / variance,
        "score_error_sigma2": 0.5 * 0.25 * 3 / variance * sigma**2,
        "dsm_loss": loss,
    }.items():
        assert found[name].value == pytest.approx(expected, abs=4 * found[name].error)
        assert 0.002 < found[name].error / expected < 0.02
        assert found[name].high - found[name].low == pytest.approx(
            2 * 1.96 * found[name].error, rel=1e-4
        )
    assert found["score_error_relative"].value == pytest.approx(0.25, rel=1e-5)
    assert found["score_error_relative"].error == pytest.approx(0, abs=1e-6)
    assert found["score_cosine"].value == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.5])
def test_identity_of_loss_and_error(sigma: float) -> None:
    """E|σs+z|² − (D − σ²E|s*|²) = σ²E|s−s*|², for points of the training set itself."""
    generator = torch.Generator().manual_seed(2)
    data = torch.rand(200, 1, 2, 2, generator=generator)
    oracle = SmoothedData(data)

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return 0.8 * oracle(x, sigma) + 0.3

    clean = data.repeat(60, 1, 1, 1)
    found = score_error(score, oracle, clean, sigma, generator, batch_size=3000)
    error = found["score_error_sigma2"]
    norm = error.value / found["score_error_relative"].value  # ½σ²E|s*|²
    left = found["dsm_loss"].value - (4 / 2 - norm)
    noise = (found["dsm_loss"].error ** 2 + error.error**2) ** 0.5
    assert left == pytest.approx(error.value, abs=4 * noise)
    assert noise < 0.03


def test_relative_error_has_the_error_of_a_ratio(oracle: GaussianMixture) -> None:
    """The error is the scatter of the ratio over repeats."""

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return oracle(x, sigma) + 0.2

    found = [
        score_error(
            score,
            oracle,
            oracle.sample(300, 0.0, torch.Generator().manual_seed(2 * i)),
            0.5,
            torch.Generator().manual_seed(2 * i + 1),
        )["score_error_relative"]
        for i in range(150)
    ]
    scatter = float(torch.tensor([f.value for f in found]).std())
    assert found[0].error == pytest.approx(scatter, rel=0.25)


def test_at_given_points(oracle: GaussianMixture) -> None:
    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.zeros_like(x)

    x = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 2.0]])
    found = compare_scores(score, oracle, x, sigma=1.0, batch_size=1)
    assert found["score_error"].value == pytest.approx(0.5 * (9 / 4 + 4 / 4) / 2)
    assert found["score_error_relative"].value == pytest.approx(1)
    assert "dsm_loss" not in found


def test_the_exact_score_has_no_error(oracle: Score) -> None:
    found = score_error(oracle, oracle, torch.zeros(10, 3), 0.5, torch.Generator().manual_seed(0))
    assert found["score_error"].value == 0
    assert found["score_cosine"].value == pytest.approx(1)


def test_the_standard_error_of_one_point_is_nan(oracle: GaussianMixture) -> None:
    found = compare_scores(lambda x, _: -x, oracle, torch.ones(1, 3), 1.0)
    assert found["score_error"].value == pytest.approx(0.5 * 3 * 0.25)  # −x against −x/2
    for estimate in found.values():
        assert math.isfinite(estimate.value)
        assert math.isnan(estimate.error)
        assert math.isnan(estimate.low)
