"""Shares of remaining noise against closed forms."""

import pytest
import torch

from scoresweep.metrics.noise_left import noise_left, normal_score

DATA = 0.5 + 0.3 * torch.randn(4000, 2, 5, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(4000, 2, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_the_normal_score_agrees_with_its_formula(sigma):
    left = noise_left(normal_score(DATA), DATA, sigma, NOISE)
    assert left.shape == (4000,)
    assert float(left.mean()) == pytest.approx(0.09 / (0.09 + sigma**2), rel=0.03)


def test_a_zero_score_leaves_all_and_the_true_noise_none():
    def zero(x, sigma):
        return 0 * x

    all_of_it = noise_left(zero, DATA, 0.7, NOISE)
    assert torch.allclose(all_of_it, NOISE.double().square().mean(dim=(1, 2)), atol=1e-5)
    batches = iter(torch.split(NOISE, 32))

    def known(x, sigma):
        return -next(batches) / sigma[0]

    assert float(noise_left(known, DATA, 0.7, NOISE).max()) < 1e-12


def test_a_doubled_score_leaves_more_than_a_zero_score():
    """(1 − 2·σ²/(v + σ²))² σ² + 4 v σ⁴/(v + σ²)², divided by σ²."""
    right, sigma, v = normal_score(DATA), 2.0, 0.09

    def double(x, sigma):
        return 2 * right(x, sigma)

    keep = sigma**2 / (v + sigma**2)
    expected = (1 - 2 * keep) ** 2 + 4 * v * keep**2 / sigma**2
    assert float(noise_left(double, DATA, sigma, NOISE).mean()) == pytest.approx(expected, rel=0.05)
