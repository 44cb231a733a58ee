"""The exact score as a network."""

import copy
import math

import pytest
import torch

from scoresweep.distributions import GaussianMixture, SmoothedData
from scoresweep.networks import Oracle
from scoresweep.noise import geometric

SIGMAS = geometric(2.0, 0.1, 4)
POINTS = torch.randint(0, 256, (9, 2, 3, 3), generator=torch.Generator().manual_seed(0)).byte()


def mixture():
    torch.manual_seed(1)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    return weights, torch.randn(3, 2).double(), torch.tensor([0.3, 0.1, 0.6], dtype=torch.float64)


def of_pixels():
    one = torch.ones(1)
    return Oracle((2, 3, 3), SIGMAS).set_mixture(one, POINTS, 0 * one, (16.0, 235.0))


def test_it_is_the_score_of_the_mixture():
    weights, means, stds = mixture()
    oracle, exact = (
        Oracle((2,), SIGMAS).set_mixture(weights, means, stds),
        GaussianMixture(*mixture()),
    )
    x, sigma = torch.randn(5, 2).double(), torch.rand(5).double() + 0.1
    torch.testing.assert_close(oracle(x, sigma), exact(x, sigma), rtol=1e-12, atol=1e-12)
    found, expected = oracle.log_density(x, sigma), exact.log_density(x, sigma)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_stored_pixels_are_scaled():
    oracle, exact = of_pixels(), SmoothedData((POINTS.double() - 16) / (235 - 16))
    x, sigma = (
        torch.rand(4, 2, 3, 3).double(),
        torch.tensor([2, 0.5, 0.1, 0.05], dtype=torch.float64),
    )
    torch.testing.assert_close(oracle(x, sigma), exact(x, sigma), rtol=1e-9, atol=1e-9)
    found, expected = oracle.log_density(x, sigma), exact.log_density(x, sigma)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert oracle.means.dtype == torch.uint8


def test_its_score_is_the_gradient_of_its_log_density():
    oracle = of_pixels()
    x, sigma = (
        torch.rand(2, 2, 3, 3).double().requires_grad_(),
        torch.tensor([0.5, 0.1], dtype=torch.float64),
    )
    (slope,) = torch.autograd.grad(oracle.log_density(x, sigma).sum(), x)
    torch.testing.assert_close(oracle(x, sigma), slope, rtol=1e-9, atol=1e-9)


def test_the_density_of_pixels_has_mass_one():
    oracle = Oracle((1, 1, 1), SIGMAS).set_mixture(
        torch.ones(1), torch.tensor([3, 200]).byte().reshape(2, 1, 1, 1), torch.zeros(1), (0, 255)
    )
    x = torch.linspace(-3, 4, 7001, dtype=torch.float64).reshape(-1, 1, 1, 1)
    density = oracle.log_density(x, torch.full((7001,), 0.2, dtype=torch.float64)).exp()
    assert float(torch.trapezoid(density, dx=1e-3)) == pytest.approx(1, abs=1e-9)


def test_an_empty_oracle_loads_a_saved_mixture():
    full, x, sigma = of_pixels(), torch.rand(4, 2, 3, 3), SIGMAS.float()
    empty = Oracle((2, 3, 3), torch.ones(4))
    empty.load_state_dict(copy.deepcopy(full.state_dict()))
    assert torch.equal(empty(x, sigma), full(x, sigma))
    assert torch.equal(empty.sigmas, SIGMAS.float())
    assert empty(x, sigma).dtype == torch.float32
    assert list(empty.parameters()) == []


def test_a_new_mixture_replaces_the_old():
    oracle = of_pixels()
    x, sigma = torch.rand(4, 2, 3, 3), SIGMAS.float()
    before = oracle(x, sigma)
    other = of_pixels().set_mixture(torch.ones(1), POINTS[:1], torch.zeros(1), (0.0, 255.0))
    oracle.load_state_dict(other.state_dict())
    expected = (POINTS[:1] / 255 - x) / sigma[:, None, None, None] ** 2
    torch.testing.assert_close(oracle(x, sigma), expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(before, expected)
    assert torch.equal(oracle.to(memory_format=torch.channels_last)(x, sigma), oracle(x, sigma))


def test_stds_are_in_units_of_the_data():
    # One Gaussian of standard deviation 0.5 about 0.2, stored as percent.
    oracle = Oracle((1,), SIGMAS).set_mixture(
        torch.ones(1), torch.tensor([[20.0]]), torch.tensor([0.5]), (0.0, 100.0)
    )
    x, sigma = torch.tensor([[1.2]], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    assert float(oracle(x, sigma)) == pytest.approx(-1 / 1.25, rel=1e-12)
    expected = -0.5 / 1.25 - 0.5 * math.log(2 * math.pi * 1.25)
    assert float(oracle.log_density(x, sigma)) == pytest.approx(expected, rel=1e-12)
