"""Langevin dynamics at one level."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import MEAN, SPREAD, Gaussian, assert_normal, four_modes, generator, normal

from scoresweep.noise import explicit, geometric
from scoresweep.samplers import langevin
from scoresweep.samplers.langevin import level_step_sizes

SIGMA = 0.5
LADDER = explicit([4.0, SIGMA])
V = SPREAD**2 + SIGMA**2


@pytest.mark.parametrize(
    ("options", "drift", "noise"),
    [
        ({"step_size": 0.2}, 0.2, math.sqrt(0.4)),
        ({"drift": 0.2, "noise_scale": 0.3}, 0.2, 0.3),
        ({"drift": 0.2, "noise_scale": 0.0}, 0.2, 0.0),
    ],
)
@pytest.mark.parametrize("steps", [1, 4])
def test_mean_and_variance_follow_their_recursion(options, drift, noise, steps):
    x = normal(3.0, 2.0, 100_000, 2)
    keep, mean, variance = 1 - drift / V, 3.0, 4.0
    for _ in range(steps):
        mean, variance = MEAN + keep * (mean - MEAN), keep**2 * variance + noise**2
    options |= {"steps": steps, "generator": generator()}
    assert_normal(langevin(Gaussian(), x, LADDER, denoise=False, **options), mean, variance)
    # Tweedie: the denoising step moves to the posterior mean of the clean sample.
    shrink = SPREAD**2 / V
    denoised = langevin(Gaussian(), x, LADDER, **options | {"generator": generator(2)})
    assert_normal(denoised, MEAN + shrink * (mean - MEAN), shrink**2 * variance)


def test_it_agrees_with_the_tutorial_in_its_space():
    # On data y in [−1, 1], with a network s̃ = σ ∇ log q: y ← y + α s̃ + η ε, tanh at the end;
    # α = 0.1, η = 0.05, σ = 0.1. In x = (1 + y)/2: σ/2, drift ασ/4 and noise scale η/2.
    alpha, eta, sigma = 0.1, 0.05, 0.1
    means = torch.tensor([[-0.8, 0.3], [0.5, -0.2]], dtype=torch.float64)

    def network(y):
        """σ times the score of two points, blurred by σ."""
        near = torch.softmax(-(torch.cdist(y, means) ** 2) / (2 * sigma**2), dim=1)
        return (near @ means - y) / sigma

    x = torch.rand(50, 2, dtype=torch.float64, generator=generator(4))
    y, random = 2 * x - 1, generator(5)
    for _ in range(30):
        noise = torch.randn(50, 2, dtype=torch.float64, generator=random)
        y = y + alpha * network(y) + eta * noise
    expected = (torch.tanh(y) + 1) / 2

    def score(x, sigma_x):
        assert float(sigma_x[0]) == pytest.approx(0.05)
        return network(2 * x - 1) / sigma_x[:, None]  # σ_y s_y = σ_x s_x

    options = {"drift": alpha * sigma / 4, "noise_scale": eta / 2, "steps": 30}
    found = langevin(
        score, x, explicit([0.05]), denoise=False, tanh=True, generator=generator(5), **options
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert options["drift"] == pytest.approx(0.0025)


def test_plain_langevin_dynamics_gets_the_weights_of_separated_modes_wrong():
    # Song and Ermon 2019, section 3.2.2 and figure 3: near each mode the score hardly depends on
    # the weights, 0.1 to 0.4 here, so a quarter of the samples starts and stays at each mode.
    target = four_modes(distance=4.0, std=0.5)
    x = 16 * torch.rand(4000, 2, dtype=torch.float64, generator=generator(6)) - 8
    options = {"steps": 250, "step_size": 0.05, "denoise": False, "generator": generator(7)}
    found = langevin(target.score, x, explicit([0.3]), **options)
    assert target.shares(found).tolist() == pytest.approx([0.25] * 4, abs=4 * 0.0069)
    # Within the modes it is right, except for the bias 1/(1 − η/2v) of its step size.
    near = target.means[(found > 0).long() @ torch.tensor([2, 1])]
    v = 0.5**2 + 0.3**2
    assert float((found - near).square().mean()) == pytest.approx(
        v / (1 - 0.05 / (2 * v)), rel=0.07
    )


def test_plain_langevin_dynamics_reaches_nearby_modes():
    target = four_modes(distance=1.0, std=0.4)
    x = normal(0.0, 1.0, 4000, 2, seed=6)
    options = {"steps": 800, "step_size": 0.009, "denoise": False, "generator": generator(7)}
    target.assert_reached(langevin(target.score, x, explicit([0.3]), **options), 0.3)


def test_only_the_last_level_is_used_and_observed():
    seen, levels = [], set()

    def score(x, sigma):
        levels.update(sigma.tolist())
        return -x

    options = {"steps": 5, "step_size": 0.1, "generator": generator()}
    observe = lambda level, x, s: seen.append((level, x.clone(), s))  # noqa: E731
    x = torch.ones(3, 2)
    end = langevin(score, x, LADDER, denoise=False, observe=observe, **options)
    assert levels == {SIGMA}
    assert [level for level, _, _ in seen] == [1]
    assert torch.equal(seen[0][1], end)
    assert torch.equal(x, torch.ones(3, 2))
    steps = level_step_sizes(geometric(4.0, 0.5, 3), steps=1, step_size=0.1)
    assert steps.isnan().tolist() == [True, True, False]
    assert float(steps[-1]) == 0.1


def test_a_step_that_diverges_is_refused_before_any_work():
    def score(x, sigma):
        pytest.fail("the score was called")

    with pytest.raises(ValueError, match=r"step_size: 0\.5:"):
        langevin(score, torch.zeros(2, 1), LADDER, step_size=0.5, steps=3)
