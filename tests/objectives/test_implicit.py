"""Implicit and sliced score matching against closed forms."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from objectives.closed_forms import ORACLE, WEIGHTS, quadrature, wrong_score

from scoresweep.objectives import dsm, ism, ssm, ssm_vr
from scoresweep.objectives.ism import MAX_DIMENSION
from scoresweep.pipeline.study.methods.objectives import ISM

SIGNS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)), dtype=torch.float64)
"""All sixteen sign vectors: their mean of vvᵀ is the identity, exactly."""
AXES = 2 * torch.eye(4, dtype=torch.float64)
"""√D times the axes: so is theirs."""


def batch(count=7, shape=(4,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, count, *shape, generator=generator, dtype=torch.float64)
    sigma = torch.rand(count, generator=generator, dtype=torch.float64) + 0.1
    return x, sigma, z


def along(directions, x):
    """Return the same directions for every sample, (M, N, ...)."""
    return directions[:, None].expand(-1, len(x), -1).reshape(-1, *x.shape)


@pytest.mark.parametrize("weighting", WEIGHTS)
def test_the_terms_are_those_of_the_jacobian(weighting):
    x, sigma, z = batch()
    v = torch.randn(3, *x.shape, generator=torch.Generator().manual_seed(1)).double()
    found = {
        "ism": ism(wrong_score, x, sigma, z, weighting=weighting),
        "ssm": ssm(wrong_score, x, sigma, z, v=v, weighting=weighting),
        "ssm_vr": ssm_vr(wrong_score, x, sigma, z, v=v, weighting=weighting),
    }
    for i in range(len(x)):
        y = x[i] + sigma[i] * z[i]
        jacobian = torch.func.jacrev(lambda y: wrong_score(y, None))(y)
        score = wrong_score(y, None)
        scale = WEIGHTS[weighting](sigma[i])
        bends = [w @ jacobian @ w for w in v[:, i]]
        expected = {
            "ism": jacobian.trace() + score @ score / 2,
            "ssm": sum(b + (w @ score) ** 2 / 2 for b, w in zip(bends, v[:, i], strict=True)) / 3,
            "ssm_vr": sum(bends) / 3 + score @ score / 2,
        }
        for name, value in expected.items():
            torch.testing.assert_close(found[name][i], scale * value)


@pytest.mark.parametrize("objective", [ssm, ssm_vr])
@pytest.mark.parametrize("directions", [SIGNS, AXES], ids=["signs", "axes"])
@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_the_mean_over_directions_is_ism_and_so_is_its_gradient(objective, directions, shape):
    x, sigma, z = batch(shape=shape)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        *(torch.nn.Flatten(), torch.nn.Linear(4, 9), torch.nn.Softplus(), torch.nn.Linear(9, 4))
    ).double()

    def score(y, sigma):
        return network(y).reshape(y.shape)

    losses = [
        ism(score, x, sigma, z),
        objective(score, x, sigma, z, v=along(directions, x)),
    ]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(loss.mean(), network.parameters()) for loss in losses]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-10, atol=1e-12)


def test_ssm_vr_differs_from_ssm_by_the_square_along_each_direction():
    x, sigma, z = batch()
    v = along(AXES[:1], x)
    output = wrong_score(x + sigma[:, None] * z, sigma)
    difference = ssm(wrong_score, x, sigma, z, v=v) - ssm_vr(wrong_score, x, sigma, z, v=v)
    expected = sigma**2 * (4 * output[:, 0] ** 2 - output.square().sum(1)) / 2
    torch.testing.assert_close(difference, expected)


@pytest.mark.parametrize("weighting", WEIGHTS)
@pytest.mark.parametrize("sigma", [0.1, 2.0])
@pytest.mark.parametrize("name", ["dsm", "dsm_cv", "ism", "ssm", "ssm_vr"])
def test_a_linear_score_on_a_gaussian(name, sigma, weighting):
    """On x ~ N(0, s²I) with the score −cx and v = s² + σ², the expectations are

    λ D (½c²v − c) of the implicit ones, and ½ λ D/σ² more of dsm.
    """
    spread, c, count, dimension = 0.7, 0.9, 40_000, 3
    generator = torch.Generator().manual_seed(3)
    x, z, v = torch.randn(3, count, dimension, generator=generator, dtype=torch.float64)
    objective = {
        "dsm": dsm,
        "dsm_cv": functools.partial(dsm, control_variate=True),
        "ism": ism,
        "ssm": functools.partial(ssm, v=v[None]),
        "ssm_vr": functools.partial(ssm_vr, v=v[None].sign()),
    }[name]
    levels = torch.full((count,), sigma, dtype=torch.float64)
    losses = objective(lambda y, _: -c * y, spread * x, levels, z, weighting=weighting).detach()
    expected = dimension * (c**2 * (spread**2 + sigma**2) / 2 - c)
    if name.startswith("dsm"):
        expected += dimension / sigma**2 / 2
    error = float(losses.std()) / math.sqrt(count)
    assert float(losses.mean()) == pytest.approx(
        WEIGHTS[weighting](sigma) * expected, abs=4 * error
    )


def test_ism_is_the_score_error_less_that_of_no_score():
    """E[tr ∇s + ½‖s‖²] = ½E‖s − s*‖² − ½E‖s*‖² under q_σ, by quadrature on a mixture."""
    sigma = 0.8
    x, z, weight = quadrature()
    levels = torch.full((len(x),), sigma, dtype=torch.float64)
    found = float(weight @ ism(wrong_score, x, levels, z, weighting="one").detach())
    y = x + sigma * z
    exact = ORACLE(y, levels)
    error = (wrong_score(y, levels) - exact).square().sum(1) / 2
    assert found == pytest.approx(float(weight @ (error - exact.square().sum(1) / 2)), rel=1e-9)


def test_ism_refuses_too_many_dimensions():
    x, sigma = torch.zeros(1, MAX_DIMENSION + 1), torch.ones(1)

    def score(y, sigma):
        raise AssertionError("called")

    with pytest.raises(ValueError, match=r"4,097.*4,096.*allow_large"):
        ism(score, x, sigma, x)
    with pytest.raises(AssertionError, match="called"):
        ism(score, x, sigma, x, allow_large=True)
    assert ISM(name="ism").max_dimension == MAX_DIMENSION
