"""Metropolis sampling is exact for every step size."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import Gaussian, assert_normal, four_modes, generator, normal

from scoresweep.distributions import GaussianMixture
from scoresweep.noise import explicit
from scoresweep.samplers import metropolis
from scoresweep.samplers.metropolis import level_step_sizes

SIGMA = 0.3
LADDER = explicit([2.0, SIGMA])


@pytest.mark.parametrize("proposal", ["random_walk", "langevin"])
def test_a_gaussian_is_invariant_at_a_large_step(proposal):
    # Without the test of Metropolis the variance would become 2η/(1 − (1 − η/v)²) = 1.82 v.
    one = torch.ones(1, dtype=torch.float64)
    v = 0.5**2 + SIGMA**2
    target = GaussianMixture(one, 0.7 * torch.ones(1, 2, dtype=torch.float64), 0.5 * one)
    x = normal(0.7, math.sqrt(v), 40_000, 2)
    options = {"step_size": 0.9 * v, "steps": 20, "denoise": False, "generator": generator()}
    end = metropolis(target, x, LADDER, proposal=proposal, **options)
    assert_normal(end, 0.7, v)
    moved = (end != x).double().mean()
    assert moved > 0.99
    posterior = metropolis(
        target,
        x,
        LADDER,
        proposal=proposal,
        **options | {"denoise": True, "generator": generator()},
    )
    torch.testing.assert_close(posterior, 0.7 + 0.25 / v * (end - 0.7))


@pytest.mark.parametrize(
    ("proposal", "step_size", "steps"), [("random_walk", 0.7, 100), ("langevin", 0.3, 150)]
)
def test_it_reaches_the_moments_and_shares_of_four_modes(proposal, step_size, steps):
    target = four_modes(distance=1.0, std=0.4)
    options = {"step_size": step_size, "steps": steps, "denoise": False, "generator": generator(2)}
    x = normal(0.0, 1.0, 4000, 2)
    end = metropolis(target.score, x, LADDER, proposal=proposal, **options)
    target.assert_reached(end, SIGMA)


def test_the_acceptance_rate_agrees_with_its_formula():
    # Random walk of standard deviation d on N(0, v) in one dimension: (2/π) arctan(2√v/d).
    one = torch.ones(1, dtype=torch.float64)
    target = GaussianMixture(one, torch.zeros(1, 1, dtype=torch.float64), one)
    v, step_size = 1 + SIGMA**2, 1.4
    x = normal(0.0, math.sqrt(v), 100_000, 1)
    options = {"step_size": step_size, "steps": 1, "denoise": False, "generator": generator()}
    end = metropolis(target, x, LADDER, **options)
    expected = 2 / math.pi * math.atan(2 * math.sqrt(v) / math.sqrt(2 * step_size))
    found = float((end != x).double().mean())
    assert found == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 100_000))


def test_a_score_without_a_density_is_refused():
    with pytest.raises(ValueError, match="log_density"):
        metropolis(Gaussian(), torch.zeros(2, 1), LADDER, step_size=0.1, steps=2)


def test_only_the_last_level_has_a_step_size():
    steps = level_step_sizes(LADDER, step_size=0.1, steps=1)
    assert steps.isnan().tolist() == [True, False]
    assert steps[-1] == 0.1


def test_the_last_level_is_observed_once():
    seen = []
    observe = lambda level, x, score: seen.append((level, x.clone(), score))  # noqa: E731
    target, x = four_modes().score, normal(0.0, 1.0, 5, 2)
    metropolis(target, x, LADDER, step_size=0.1, steps=3, generator=generator(), observe=observe)
    ((level, state, score),) = seen
    assert level == 1
    torch.testing.assert_close(score, target(state, torch.full((5,), SIGMA, dtype=torch.float64)))


@pytest.mark.parametrize("proposal", ["random_walk", "langevin"])
def test_a_proposal_is_accepted_with_the_probability_of_metropolis_and_hastings(proposal):
    # From x, the integral over proposals y of k(y | x) min(1, q(y) k(x | y)/(q(x) k(y | x))).
    weights, means = torch.tensor([0.3, 0.7]).double(), torch.tensor([[-1.0], [0.8]]).double()
    target = GaussianMixture(weights, means, torch.tensor([0.4, 0.6]).double())
    x, eta, n = torch.tensor([[0.9]]).double(), 0.4, 200_000

    def log_kernel(to, origin):
        drift = eta * target(origin, torch.full((len(origin),), SIGMA)) if adjusted else 0.0
        return (-((to - origin - drift) ** 2) / (4 * eta) - 0.5 * math.log(4 * math.pi * eta))[:, 0]

    adjusted = proposal == "langevin"
    y = torch.linspace(-9, 9, 20_001, dtype=torch.float64)[:, None]
    energy = lambda points: target.log_density(points, torch.full((len(points),), SIGMA))  # noqa: E731
    there, back = log_kernel(y, x), log_kernel(x, y)
    chance = (energy(y) + back - energy(x) - there).exp().clamp(max=1)
    expected = float(torch.trapezoid(there.exp() * chance, y[:, 0]))
    options = {"step_size": eta, "steps": 1, "proposal": proposal, "denoise": False}
    end = metropolis(target, x.expand(n, 1), LADDER, generator=generator(), **options)
    found = float((end != x).double().mean())
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))
