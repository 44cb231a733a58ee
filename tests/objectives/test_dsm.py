"""Denoising score matching against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from objectives.closed_forms import ORACLE, WEIGHTS, quadrature, wrong_score

from scoresweep.objectives import dsm, ssm_vr
from scoresweep.score import expand_sigma


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


def test_the_weighting_edm_is_that_of_the_denoiser():
    """Karras et al. (2022), table 1: λ = (σ² + s²)/(σs)² of the denoiser D = x̃ + σ² score."""
    x, z = torch.randn(2, 4, 3, dtype=torch.float64)
    sigma, s = torch.tensor([5, 1, 0.25, 0.01], dtype=torch.float64), 0.25
    found = dsm(lambda y, _: torch.sin(y), x, sigma, z, weighting="edm", data_std=s)
    noisy = x + sigma[:, None] * z
    denoised = noisy + sigma[:, None] ** 2 * torch.sin(noisy)
    weight = (sigma**2 + s**2) / (sigma * s) ** 2
    torch.testing.assert_close(found, weight * (denoised - x).square().sum(1) / 2)


def test_dsm_is_finite_at_tiny_noise_levels():
    x = z = torch.ones(1, 4)
    loss = dsm(lambda y, sigma: -z / sigma[:, None], x, torch.tensor([1e-25]), z)
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_identity_of_loss_and_score_error():
    """E‖σs + z‖² − (D − σ²E‖s*‖²) = σ²E‖s − s*‖² on a mixture, by quadrature."""
    sigma = 0.8
    x, z, weight = quadrature()
    levels = torch.full((len(x),), sigma, dtype=torch.float64)
    loss = 2 * dsm(wrong_score, x, levels, z)
    oracle = ORACLE(x + sigma * z, levels)
    error = wrong_score(x + sigma * z, sigma) - oracle

    def mean(values):
        return float(weight @ values)

    left = mean(loss) - (1 - sigma**2 * mean(oracle.square().sum(1)))
    assert left == pytest.approx(sigma**2 * mean(error.square().sum(1)), rel=1e-9)
    assert mean(error.square().sum(1)) > 0.05


@pytest.mark.parametrize("weighting", WEIGHTS)
@pytest.mark.parametrize("sigma", [0.05, 0.8])
def test_the_control_variate_keeps_the_mean(sigma, weighting):
    x, z, weight = quadrature()
    levels = torch.full((len(x),), sigma, dtype=torch.float64)
    plain = dsm(wrong_score, x, levels, z, weighting=weighting)
    controlled = dsm(wrong_score, x, levels, z, weighting=weighting, control_variate=True)
    assert float(weight @ controlled) == pytest.approx(float(weight @ plain), rel=1e-9)
    assert not torch.allclose(controlled, plain)


def test_the_control_variate_tends_to_the_sliced_loss_along_the_noise():
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    sigma = torch.full((50,), 1e-6, dtype=torch.float64)
    found = dsm(wrong_score, x, sigma, z, weighting="sigma2", control_variate=True)
    slope = 1e-12 * ssm_vr(wrong_score, x, 0 * sigma, z, v=z[None], weighting="one")
    # float64 keeps about ten digits of the difference of scores, which counts for 1e-12 of 3/2.
    torch.testing.assert_close(found - 1.5, slope, rtol=0, atol=2e-15)
    assert slope.abs().max() > 1e-12


def test_the_control_variate_bounds_the_variance_of_loss_and_gradient():
    """With x ~ N(0, I) and s = −cx: exact variances for σ → 0, of D = 1, by hand.

    The loss ½‖s + z/σ‖² has the variance 1/(2σ⁴) + …, its gradient by c, x̃(cx̃ − z/σ), 1/σ² + …;
    of the controlled ones, c²x²/2 − cz² and cx² − z², they are c⁴/2 + 2c² and 2c² + 2.
    """
    sigma = 0.01
    x, z, weight = quadrature(weights=(1.0,), means=(0.0,), stds=(1.0,))
    levels = torch.full((len(x),), sigma, dtype=torch.float64)

    def variances(**options):
        c = torch.full_like(x, 0.7, requires_grad=True)  # each sample's own: its own gradient
        loss = dsm(
            lambda y, _: -c.repeat(len(y) // len(x), 1) * y,
            *(x, levels, z),
            weighting="one",
            **options,
        )
        (slope,) = torch.autograd.grad(loss.sum(), c)
        values = loss.detach(), slope[:, 0]
        return [float(weight @ v.square() - (weight @ v) ** 2) for v in values]

    loss, gradient = variances()
    assert loss == pytest.approx(1 / (2 * sigma**4), rel=1e-3)
    assert gradient == pytest.approx(1 / sigma**2, rel=1e-3)
    loss, gradient = variances(control_variate=True)
    assert loss == pytest.approx(0.7**4 / 2 + 2 * 0.7**2, rel=1e-2)
    assert gradient == pytest.approx(2 * 0.7**2 + 2, rel=1e-2)
