"""Continuous laws of the noise level."""

import math

import pytest
import torch

from scoresweep.objectives.sigma_laws import log_normal, log_uniform, nearest_level

SIGMAS = torch.tensor([50.0, 1.0, 0.01])
COUNT = 20_000


def generator():
    return torch.Generator().manual_seed(0)


def test_log_uniform_lies_between_the_ends_of_the_ladder():
    drawn = log_uniform(COUNT, SIGMAS, generator=generator())
    # ln σ of the published program: σ = σ_L (σ_1/σ_L)^t.
    t = (drawn / 0.01).log() / math.log(5000)
    assert float(t.min()) == pytest.approx(0, abs=1e-3)
    assert float(t.max()) == pytest.approx(1, abs=1e-3)
    quantiles = torch.quantile(t, torch.linspace(0.1, 0.9, 9))
    torch.testing.assert_close(quantiles, torch.linspace(0.1, 0.9, 9), rtol=0, atol=0.015)
    drawn = log_uniform(5, SIGMAS[:1], generator=generator())
    torch.testing.assert_close(drawn, torch.full((5,), 50.0))


def test_log_normal_has_its_mean_and_standard_deviation():
    logs = log_normal(COUNT, SIGMAS, generator=generator(), mean=-1.9, std=1.2).log()
    assert float(logs.mean()) == pytest.approx(-1.9, abs=4 * 1.2 / COUNT**0.5)
    assert float(logs.std()) == pytest.approx(1.2, rel=4 * (2 * COUNT) ** -0.5)
    assert float(((logs + 1.9) / 1.2).pow(4).mean()) == pytest.approx(3, abs=0.3)


def test_levels_are_nearest_in_the_logarithm():
    sigma = torch.tensor([90.0, 7.2, 7.0, 0.11, 0.09, 0.001])
    assert nearest_level(sigma, SIGMAS).tolist() == [0, 0, 1, 1, 2, 2]
