"""Score errors by density, asymmetry of the Jacobian, and recovered density."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture, SmoothedData
from scoresweep.metrics import asymmetry, compare_scores, error_by_density, recover_density
from scoresweep.metrics.recovered_density import log_density_of_score


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def two_modes(dimension: int) -> GaussianMixture:
    means = torch.zeros(2, dimension, dtype=torch.float64)
    means[0, 0], means[1, 0] = -2, 2
    return GaussianMixture(torch.tensor([0.2, 0.8]), means, torch.tensor([0.5, 1.0]))


# ── asymmetry ───────────────────────────────────────────────────────────────────────────────────


def test_asymmetry_agrees_with_the_exact_jacobian() -> None:
    """A small network in float64; the estimate is a mean over 4 × 2,000 probes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)
        ).double()
    x = torch.randn(4, 3, generator=generator(), dtype=torch.float64)

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return network(x) / sigma[:, None]

    jacobian = torch.stack([torch.func.jacrev(network)(point) for point in x]).detach() / 0.5
    square = (jacobian - jacobian.mT).square().sum(dim=(1, 2))
    norm = jacobian.square().sum(dim=(1, 2))
    found = asymmetry(score, x, 0.5, probes=2000, generator=generator(), batch_size=3)
    value, relative = found["asymmetry"], found["asymmetry_relative"]
    assert value.value == pytest.approx(float(square.mean()), rel=0.02)
    assert value.error == pytest.approx(float(square.std() / 2), rel=0.05)
    assert relative.value == pytest.approx(float(square.mean() / norm.mean()), rel=0.02)


@pytest.mark.parametrize(("matrix", "expected"), [([[0, 3], [-3, 0]], 4), ([[1, 2], [2, -5]], 0)])
def test_asymmetry_of_linear_scores(matrix: list[list[float]], expected: float) -> None:
    weight = torch.tensor(matrix, dtype=torch.float64)
    x = torch.randn(5, 2, generator=generator(), dtype=torch.float64)
    found = asymmetry(lambda x, sigma: x @ weight.T, x, 1.0, 2, generator())
    assert found["asymmetry_relative"].value == pytest.approx(expected)
    assert found["asymmetry"].value == pytest.approx(expected * float(weight.square().sum()))


@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_an_exact_score_is_symmetric(sigma: float) -> None:
    images = torch.rand(30, 1, 3, 3, generator=generator(), dtype=torch.float64)
    for oracle, x in (
        (two_modes(3), torch.randn(20, 3, generator=generator(), dtype=torch.float64)),
        (SmoothedData(images), images[:8] + sigma),
    ):
        found = asymmetry(oracle, x, sigma, 3, generator())
        assert found["asymmetry_relative"].value < 1e-20


# ── error by density ────────────────────────────────────────────────────────────────────────────


def test_bins_have_equal_sizes_in_order_of_density() -> None:
    """s = 2s*: the error is ½‖s*‖² and the relative one 1; of one Gaussian ‖s*‖ falls with q."""
    oracle = GaussianMixture(torch.ones(1), torch.zeros(1, 2).double(), torch.ones(1))
    x = 3 * torch.randn(90, 2, generator=generator(), dtype=torch.float64)
    found = error_by_density(lambda x, s: 2 * oracle(x, s), oracle, x, 0.5, 3, batch_size=7)
    radius = x.square().sum(dim=1).sort(descending=True).values
    for index, part in enumerate(radius.reshape(3, 30)):
        exact = 0.5 * part.mean() / 1.25**2
        assert found["score_error_of_bin"][index].value == pytest.approx(float(exact))
        assert found["score_error_relative_of_bin"][index].value == pytest.approx(1)
        log_density = -math.log(2 * math.pi * 1.25) - part.mean() / 2.5
        assert found["log_density_of_bin"][index].value == pytest.approx(float(log_density))


def test_bins_add_up_to_the_score_error() -> None:
    oracle = two_modes(2)
    x = torch.randn(60, 2, generator=generator(), dtype=torch.float64)

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.sin(x)

    bins = error_by_density(score, oracle, x, 0.3, 5)["score_error_of_bin"]
    whole = compare_scores(score, oracle, x, 0.3)["score_error"]
    assert sum(b.value for b in bins) / 5 == pytest.approx(whole.value)
    with pytest.raises(ValueError, match=r"62 points .*31 density bins, found 60"):
        error_by_density(score, oracle, x, 0.3, 31)


# ── density ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_the_exact_score_recovers_the_density(sigma: float) -> None:
    oracle = two_modes(1)
    found = recover_density(oracle, oracle, oracle.sample(500, 0.0, generator()), sigma)
    spread = (torch.tensor([0.5, 1.0]) ** 2 + sigma**2).sqrt()
    parts = torch.distributions.Normal(torch.tensor([-2.0, 2.0]), spread).log_prob(found.x[:, None])
    truth = parts.exp() @ torch.tensor([0.2, 0.8]).double()
    assert found.x.shape == (501,)
    # The grid ends where the data does: the mass beyond it is a few in ten thousand.
    torch.testing.assert_close(found.exact, truth, rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(found.density, found.exact, rtol=1e-3, atol=1e-6)
    assert found.tv < 1e-4
    assert abs(found.kl) < 1e-6


def test_distances_of_recovered_gaussians() -> None:
    """N(0, v) seen as N(0, 4v): KL = ½(¼ − 1 + ln 4), TV from where the two cross."""
    exact = GaussianMixture(torch.ones(1), torch.zeros(1, 1).double(), torch.ones(1))
    data = torch.linspace(-20, 20, 10, dtype=torch.float64)[:, None]
    found = recover_density(lambda x, s: exact(x, s) / 4, exact, data, 0.5)
    assert found.kl == pytest.approx(0.5 * (0.25 - 1 + math.log(4)), rel=1e-4)
    crossing = math.sqrt(2 * math.log(2) / (1 - 0.25))
    normal = torch.distributions.Normal(0.0, 1.0)
    inner, outer = (normal.cdf(torch.tensor(c)).item() for c in (crossing, crossing / 2))
    assert found.tv == pytest.approx(2 * (inner - outer), rel=1e-3)


def test_density_is_normalised_without_overflow() -> None:
    x = torch.linspace(-100, 100, 20_001, dtype=torch.float64)
    log_density = log_density_of_score(x, -100 * (x - 30))
    assert torch.trapezoid(log_density.exp(), x).item() == pytest.approx(1)
    assert log_density.max().item() == pytest.approx(0.5 * math.log(100 / (2 * math.pi)), abs=1e-3)


def test_a_density_that_takes_too_many_points_is_refused_before_any_work() -> None:
    """Eight points to σ over 2,000: 1.6e8 of them at σ = 1e-4."""

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        pytest.fail("the score was called")

    data = torch.tensor([[-1e3], [1e3]])
    with pytest.raises(ValueError, match=r"160,000,000 points"):
        recover_density(score, SmoothedData(data), data, 1e-4)
