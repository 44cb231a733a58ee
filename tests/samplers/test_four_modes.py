"""Samplers with the exact score of four separated modes reach the right weights."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import WEIGHTS, four_modes, generator

from scoresweep import samplers
from scoresweep.distributions import GaussianMixture
from scoresweep.noise import geometric

LAST = 0.2


@pytest.mark.parametrize(
    ("name", "levels", "options"),
    [
        ("annealed_langevin", 50, {"step_size": 0.2 * LAST**2, "steps_per_level": 15}),
        ("consistent", 250, {"step_size": 0.03 * LAST**2}),
        ("predictor_corrector", 250, {"corrector_steps": 0}),
        ("predictor_corrector", 250, {"corrector_steps": 0, "predictor": "ancestral"}),
        ("predictor_corrector", 250, {"corrector_steps": 0, "predictor": "probability_flow"}),
        ("probability_flow", 50, {}),
        ("probability_flow", 250, {"solver": "euler"}),
        ("edm", 100, {"s_churn": 20.0}),
        ("edm", 100, {"s_churn": 20.0, "s_max": 2.0, "time": "variance"}),
    ],
)
def test_weights_means_and_covariances(name, levels, options):
    target, sigmas = four_modes(), geometric(8.0, LAST, levels)
    x = target.score.sample(4000, 8.0, generator(8))
    sampler = getattr(samplers, name)
    end = sampler(target.score, x, sigmas, denoise=False, generator=generator(9), **options)
    target.assert_reached(end, LAST)


@pytest.mark.slow
def test_a_corrector_in_many_dimensions_keeps_the_modes():
    plane, dimension, r = four_modes(), 64, 0.1
    means = torch.nn.functional.pad(plane.means, (0, dimension - 2))
    score = GaussianMixture(WEIGHTS, means, torch.full((4,), plane.std, dtype=torch.float64))
    x, sigmas = score.sample(6000, 8.0, generator(8)), geometric(8.0, LAST, 250)
    options = {"snr": r, "corrector_steps": 1, "denoise": False, "generator": generator(9)}
    end = samplers.predictor_corrector(score, x, sigmas, **options)
    plane.assert_reached(end[:, :2], LAST)
    # In the other dimensions the data is normal: what a step makes of a variance u is known (see
    # test_a_corrector_step_changes_the_mean_square_by_its_formula).
    ladder, u = sigmas.tolist(), plane.std**2 + 8.0**2
    factor = 4 * r**2 * (1 + r**2) * (dimension + 2) / (dimension - 2)
    for sigma, following in zip(ladder, [*ladder[1:], LAST], strict=True):
        v, added = plane.std**2 + sigma**2, sigma**2 - following**2
        u += factor * v**2 / u - 4 * r**2 * v
        u = (1 - added / v) ** 2 * u + added
    assert float(end[:, 2:].var()) == pytest.approx(u, rel=4 * math.sqrt(2 / end[:, 2:].numel()))


def test_denoise_renoise_makes_the_weights_too_equal():
    # With η = σ² a level holds more noise than q_σ (up to 2σ²), and the modes separate too early.
    target = four_modes()
    x = target.score.sample(12_000, 8.0, generator(8))
    sigmas = geometric(8.0, LAST, 60)
    end = samplers.denoise_renoise(target.score, x, sigmas, generator=generator(9))
    excess = (target.shares(end) - WEIGHTS).tolist()
    assert 0.02 < excess[0] < 0.05
    assert -0.06 < excess[3] < -0.02
