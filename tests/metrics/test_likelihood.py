"""Bits per dimension against densities that are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics.likelihood import bits_per_dimension, dequantise, log_likelihood

MEAN, SPREAD = 0.7, 0.6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(dimension: int) -> GaussianMixture:
    means = torch.full((1, dimension), MEAN, dtype=torch.float64)
    return GaussianMixture(torch.ones(1), means, torch.tensor([SPREAD]))


@pytest.mark.parametrize(("dimension", "probes"), [(1, None), (3, 0), (18, None), (18, 2)])
def test_a_gaussian_has_its_density_under_the_ode(dimension, probes):
    # x − m grows as √(s² + σ²): the density is that of N(0, σ_1²) at the end, times the volume.
    x = gaussian(dimension).sample(7, 0.1, generator())
    growth = math.sqrt((SPREAD**2 + 20.0**2) / (SPREAD**2 + 0.1**2))
    end = torch.distributions.Normal(0.0, 20.0).log_prob(MEAN + growth * (x - MEAN)).sum(dim=1)
    options = {"steps": 50, "probes": probes, "generator": generator()}
    found = log_likelihood(gaussian(dimension), x, 0.1, 20.0, **options)
    # The Jacobian is a multiple of I, so that estimates of its trace are exact.
    expected = end + dimension * math.log(growth)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * dimension * math.log(2))


def mixture() -> GaussianMixture:
    weights = torch.tensor([0.3, 0.3, 0.4])
    means = torch.tensor([[-1.0, -1.0], [1.0, 0.5], [0.0, 0.5]], dtype=torch.float64)
    return GaussianMixture(weights, means, torch.tensor([0.2, 0.1, 0.05]))


def test_a_mixture_has_its_density():
    # With σ_1 far above the data, N(0, σ_1²) is q_σ₁: the density is that of q_σ_L.
    score, x = mixture(), mixture().sample(40, 0.02, generator())
    found = log_likelihood(score, x, 0.02, 2000.0, generator=generator())
    expected = score.log_density(x, torch.full((40,), 0.02))
    errors = bits_per_dimension(found, 2) - bits_per_dimension(expected, 2)
    assert errors.mean().abs() < 1e-3
    assert errors.abs().max() < 1e-2
    assert bits_per_dimension(expected, 2).std() > 0.3


def test_estimates_of_the_trace_are_unbiased():
    # Their mean over vectors is the likelihood with the exact trace, and single ones are not.
    score, x = mixture(), mixture().sample(3, 0.1, generator()).repeat_interleave(200, dim=0)
    options = {"sigma_min": 0.1, "sigma_max": 20.0, "steps": 12}
    exact = log_likelihood(score, x, probes=0, generator=generator(), **options)
    found = log_likelihood(score, x, probes=1, generator=generator(), **options)
    errors = (found - exact).reshape(3, 200)
    limits = 4 * errors.std(dim=1) / math.sqrt(200)
    assert errors.std(dim=1).min() > 0.01
    assert (errors.mean(dim=1).abs() < limits).all()
    more = log_likelihood(score, x, probes=4, generator=generator(), **options) - exact
    assert more.std() == pytest.approx(float(errors.std()) / 2, rel=0.15)


def test_a_sample_does_not_depend_on_its_batch():
    score, x = mixture(), mixture().sample(10, 0.1, generator())
    options = {"sigma_min": 0.1, "sigma_max": 20.0, "steps": 5, "probes": 1}
    one = log_likelihood(score, x, generator=generator(), **options)
    apart = log_likelihood(score, x, generator=generator(), batch_size=3, **options)
    torch.testing.assert_close(apart, one, rtol=1e-12, atol=0)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_uniform_pixels_take_the_bits_of_their_levels(levels):
    # U[0, 1) has log density 0: an image of n equally likely levels has log₂ n bits per pixel.
    assert float(bits_per_dimension(torch.zeros(1), 48, levels)) == pytest.approx(math.log2(levels))
    values = torch.arange(levels).repeat(400)
    x = dequantise(values, levels, generator())
    assert ((x * levels).floor() == values).all()
    assert 0 <= float(x.min()) < float(x.max()) < 1
    assert float(x.mean()) == pytest.approx(0.5, abs=0.02)
    assert float((x * levels - values).var()) == pytest.approx(1 / 12, rel=0.2)


def test_256_levels_add_eight_bits():
    nats = torch.tensor([-10.0, 20.0])
    difference = bits_per_dimension(nats, 12, 256) - bits_per_dimension(nats, 12)
    assert difference.tolist() == [8.0, 8.0]
    assert bits_per_dimension(nats, 10).tolist() == pytest.approx(
        [1 / math.log(2), -2 / math.log(2)]
    )


@pytest.mark.parametrize("values", [[-1, 0], [0, 4]])
def test_values_outside_the_levels_are_refused(values):
    with pytest.raises(ValueError, match="0 to 3"):
        dequantise(torch.tensor(values), 4, generator())


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)])
def test_the_ends_of_the_ode_are_checked(ends):
    with pytest.raises(ValueError, match="sigma_min"):
        log_likelihood(mixture(), torch.zeros(2, 2), *ends, generator=generator())
