"""Objectives against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from scoresweep.objectives import dsm
from scoresweep.score import expand_sigma

WEIGHTS = {"sigma2": lambda s: s**2, "sigma": lambda s: s, "one": lambda s: s**0}


@pytest.mark.parametrize("weighting", WEIGHTS)
def test_dsm_is_the_weighted_squared_error_of_the_score(weighting):
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 6, 3, 4, 4, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([5, 2, 1, 0.5, 0.1, 0.01], dtype=torch.float64)

    def score(y, sigma):
        return torch.sin(y) / expand_sigma(sigma, y)

    found = dsm(score, x, sigma, z, weighting=weighting)
    for i in range(6):
        y = x[i] + sigma[i] * z[i]
        error = torch.sin(y) / sigma[i] + z[i] / sigma[i]
        expected = 0.5 * WEIGHTS[weighting](sigma[i]) * (error**2).sum()
        torch.testing.assert_close(found[i], expected)


@pytest.mark.parametrize("weighting", WEIGHTS)
@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_dsm_of_the_exact_score_of_a_gaussian(sigma, weighting):
    # For x ~ N(0, s²I) and s* = −y/v with v = s² + σ², σs* + z ~ N(0, (s²/v) I): the loss is
    # ½ (λ/σ²) (s²/v) χ²_D, of mean ½ (λ/σ²) (s²/v) D and relative standard error √(2/DN) = 0.35 %.
    spread, count, dimension = 0.7, 20_000, 8
    generator = torch.Generator().manual_seed(1)
    x = spread * torch.randn(count, dimension, generator=generator)
    z = torch.randn(count, dimension, generator=generator)
    variance = spread**2 + sigma**2
    losses = dsm(lambda y, _: -y / variance, x, torch.full((count,), sigma), z, weighting=weighting)
    expected = 0.5 * WEIGHTS[weighting](sigma) / sigma**2 * spread**2 / variance * dimension
    error = math.sqrt(2 / (dimension * count))
    assert float(losses.mean()) == pytest.approx(expected, rel=4 * error)


def test_dsm_is_finite_at_tiny_noise_levels():
    x = z = torch.ones(1, 4)
    loss = dsm(lambda y, sigma: -z / sigma[:, None], x, torch.tensor([1e-25]), z)
    assert float(loss) == pytest.approx(0, abs=1e-6)
