from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from scoresweep import distributions
from scoresweep.distributions import GaussianMixture, SmoothedData


def direct_score(points: Tensor, x: Tensor, sigma: float) -> Tensor:
    """The smoothed data's score from differences x − y, all at once, in float64."""
    difference = points.double().flatten(1)[None] - x.double().flatten(1)[:, None]
    weight = torch.softmax(-difference.square().sum(2) / (2 * sigma**2), dim=1)
    return ((weight[:, :, None] * difference).sum(1) / sigma**2).reshape(x.shape)


@pytest.fixture
def digits() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 17, (300, 1, 8, 8), generator=generator).double() / 16


@pytest.fixture
def mixture() -> GaussianMixture:
    return GaussianMixture(
        torch.tensor([1.0, 3.0, 4.0]),
        torch.tensor([[-2.0, 1.0], [0.5, 0.0], [3.0, -1.0]], dtype=torch.float64),
        torch.tensor([0.3, 1.0, 0.0], dtype=torch.float64),
    )


@pytest.mark.parametrize("sigma", [0.01, 0.3, 20.0])
def test_smoothed_score_equals_the_direct_sum(digits: Tensor, sigma: float) -> None:
    x = digits[:40] + sigma * torch.randn(40, 1, 8, 8, dtype=torch.float64)
    # Two points and no others share the weight at the middle between them.
    x[0] = (digits[0] + digits[1]) / 2 + 1e-4
    exact = direct_score(digits, x, sigma)
    found = SmoothedData(digits)(x, torch.full((40,), sigma, dtype=torch.float64))
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)


def test_float32_data_are_exact_at_small_sigma(digits: Tensor) -> None:
    data = digits.float() + 100
    x = (data[0:1] + data[1:2]) / 2 + 0.01 * torch.randn(40, 1, 8, 8)
    found = SmoothedData(data)(x, torch.full((40,), 0.05))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), direct_score(data, x, 0.05), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 10.0])
def test_score_is_the_gradient_of_the_log_density(mixture: GaussianMixture, sigma: float) -> None:
    x = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    sigmas = torch.full((20,), sigma, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(mixture.log_density(x, sigmas).sum(), x)
    torch.testing.assert_close(mixture(x.detach(), sigmas), gradient, rtol=1e-9, atol=1e-9)


def test_blocks_do_not_change_the_result(digits: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    sigma = torch.tensor([0.05, 0.1, 0.5, 1.0, 10.0], dtype=torch.float64)
    data = SmoothedData(digits)
    whole = data(x, sigma), data.log_density(x, sigma)
    monkeypatch.setattr(distributions, "BLOCK", 64 * 7)
    torch.testing.assert_close(data(x, sigma), whole[0], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(data.log_density(x, sigma), whole[1], rtol=1e-12, atol=1e-12)


def test_each_sample_has_its_own_sigma(digits: Tensor) -> None:
    x, data = torch.rand(2, 1, 8, 8, dtype=torch.float64), SmoothedData(digits)
    both = data(x, torch.tensor([0.1, 3.0], dtype=torch.float64))
    torch.testing.assert_close(both[:1], direct_score(digits, x[:1], 0.1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(both[1:], direct_score(digits, x[1:], 3.0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [1e-6, 1e6])
def test_extreme_sigma_is_finite(digits: Tensor, sigma: float) -> None:
    x = torch.cat([digits[:3], digits[:3] + 1000])
    found = SmoothedData(digits)(x, torch.full((6,), sigma, dtype=torch.float64))
    assert torch.isfinite(found).all()
    if sigma > 1:
        centre = digits.mean(0, keepdim=True)
        torch.testing.assert_close(found, (centre - x) / sigma**2, rtol=1e-6, atol=1e-20)


def test_density_of_a_mixture_integrates_to_one() -> None:
    mixture = GaussianMixture(
        torch.tensor([0.2, 0.8]), torch.tensor([[-1.0], [2.0]]), torch.tensor([0.5, 0.1])
    )

    def density(x: float) -> float:
        sigma = torch.tensor([0.3], dtype=torch.float64)
        return float(mixture.log_density(torch.tensor([[x]], dtype=torch.float64), sigma).exp())

    assert quad(density, -10, 10, points=[-1, 2])[0] == pytest.approx(1, abs=1e-8)


def test_samples_have_the_moments_of_the_mixture(mixture: GaussianMixture) -> None:
    sigma, count = 0.7, 200_000
    x = mixture.sample(count, sigma, torch.Generator().manual_seed(1))
    weights, means = np.array([1, 3, 4]) / 8, mixture.means.numpy()
    mean = weights @ means
    variances = np.array([0.3, 1.0, 0.0]) ** 2 + sigma**2
    covariance = (
        (means.T * weights) @ means - np.outer(mean, mean) + np.eye(2) * (weights @ variances)
    )
    error = 5 * math.sqrt(covariance.max() / count)
    np.testing.assert_allclose(x.mean(0), mean, atol=error)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=4 * error)


def exactly(mixture: GaussianMixture, x: Tensor, sigma: float) -> tuple[list[float], Tensor]:
    """Log density and score at `x` (N, D) with 40 digits."""
    densities, scores = [], []
    with mpmath.workdps(40):
        means = [[mpmath.mpf(a) for a in mean] for mean in mixture.means.double().tolist()]
        weights = [mpmath.mpf(w) for w in mixture.weights.tolist()]
        spreads = [v + mpmath.mpf(sigma) ** 2 for v in mixture.variances.tolist()]
        for point in x.double().tolist():
            gaps = [[a - b for a, b in zip(mean, point, strict=True)] for mean in means]
            terms = [
                w * mpmath.exp(-sum(g * g for g in gap) / (2 * v)) / (2 * mpmath.pi * v)
                for w, v, gap in zip(weights, spreads, gaps, strict=True)
            ]
            densities.append(float(mpmath.log(sum(terms))))
            pulls = [
                [t * g / v for g in gap] for t, v, gap in zip(terms, spreads, gaps, strict=True)
            ]
            scores.append([float(sum(pull) / sum(terms)) for pull in zip(*pulls, strict=True)])
    return densities, torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [1e-4, 1e-2, 1.0, 1e2])
@pytest.mark.parametrize("spread", [1e-2, 1.0, 1e3, 1e4])
def test_wide_data_are_exact_at_small_sigma(
    spread: float, sigma: float, dtype: torch.dtype
) -> None:
    """Means `spread` apart, three of them within a few σ of each other."""
    draw = torch.Generator().manual_seed(0)
    far = spread * torch.randn(4, 2, generator=draw, dtype=torch.float64) + 2 * spread
    near = far[:1] + sigma * torch.randn(2, 2, generator=draw, dtype=torch.float64)
    mixture = GaussianMixture(
        torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0, 1.0]),
        torch.cat([far, near]).to(dtype),
        sigma * torch.tensor([0.5, 0.0, 0.0, 0.1, 0.0, 2.0], dtype=torch.float64),
    )
    means = mixture.means.double()
    x = means + sigma * torch.randn(6, 2, generator=draw, dtype=torch.float64)
    sigmas = torch.full((6,), sigma, dtype=torch.float64)
    density, score = exactly(mixture, x, sigma)
    np.testing.assert_allclose(mixture.log_density(x, sigmas), density, rtol=0, atol=2e-6)
    torch.testing.assert_close(sigma * mixture(x, sigmas), sigma * score, rtol=1e-6, atol=1e-6)


def test_exact_distances_are_differentiable_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = torch.Generator().manual_seed(0)
    data = SmoothedData(1e3 * torch.randn(40, 3, generator=draw, dtype=torch.float64))
    x = (data.means + 1e-4 * torch.randn(40, 3, generator=draw)).requires_grad_()
    # In one batch with points whose expanded distances are exact enough.
    sigmas = torch.tensor([1e-4, 3e2], dtype=torch.float64).repeat(20)
    (gradient,) = torch.autograd.grad(data.log_density(x, sigmas).sum(), x)
    whole = data(x.detach(), sigmas)
    torch.testing.assert_close(sigmas[:, None] * whole, sigmas[:, None] * gradient)
    monkeypatch.setattr(distributions, "BLOCK", 64)
    torch.testing.assert_close(data(x.detach(), sigmas), whole, rtol=1e-9, atol=1e-12)
