"""The probability-flow ODE on a Gaussian, where its solution is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from exact_targets import MEAN, SPREAD, Gaussian, normal

from scoresweep.noise import geometric
from scoresweep.samplers import probability_flow
from scoresweep.samplers.probability_flow import level_step_sizes


def carried(solver, levels, denoise=False):
    """Return the factor by which distances from the mean of the data change."""
    x = normal(0.0, 3.0, 10, 2)
    sigmas = geometric(3.0, 0.4, levels)
    end = probability_flow(Gaussian(), x, sigmas, solver=solver, denoise=denoise)
    factors = (end - MEAN) / (x - MEAN)
    torch.testing.assert_close(factors, factors[:1, :1].expand(10, 2), rtol=1e-10, atol=0)
    return float(factors[0, 0])


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_a_solver_agrees_with_its_formula(solver):
    # dx/dσ = σ (x − m)/(s² + σ²).
    ladder, factor = geometric(3.0, 0.4, 7).tolist(), 1.0
    slope = lambda sigma: sigma / (SPREAD**2 + sigma**2)  # noqa: E731
    for sigma, following in pairwise(ladder):
        h = following - sigma
        ahead = 1 + h * slope(sigma)
        heun = 1 + 0.5 * h * (slope(sigma) + slope(following) * ahead)
        factor *= ahead if solver == "euler" else heun
    assert carried(solver, 7) == pytest.approx(factor, rel=1e-12)
    denoised = factor * SPREAD**2 / (SPREAD**2 + 0.16)
    assert carried(solver, 7, denoise=True) == pytest.approx(denoised, rel=1e-12)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_solvers_converge_with_their_order(solver, order):
    # x(σ) − m ∝ √(s² + σ²): what is distributed as q_σ₁ arrives as q_σ_L.
    exact = math.sqrt((SPREAD**2 + 0.16) / (SPREAD**2 + 9))
    errors = [carried(solver, levels) / exact - 1 for levels in (201, 401)]
    assert abs(errors[1]) < {1: 5e-3, 2: 2e-5}[order]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.03)


def test_every_level_is_observed_with_its_score():
    sigmas, seen = geometric(3.0, 0.4, 5), []
    observe = lambda level, x, score: seen.append((level, x.clone(), score))  # noqa: E731
    probability_flow(Gaussian(), normal(0.0, 1.0, 4, 1), sigmas, observe=observe)
    assert [level for level, _, _ in seen] == list(range(5))
    for (_, x, score), sigma in zip(seen, sigmas.tolist(), strict=True):
        torch.testing.assert_close(score, (MEAN - x) / (SPREAD**2 + sigma**2))
    assert level_step_sizes(sigmas).isnan().all()
