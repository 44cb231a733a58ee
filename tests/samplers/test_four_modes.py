"""With the exact score of four separated modes, samplers down a fine ladder find their weights."""

from __future__ import annotations

import pytest
from exact_targets import WEIGHTS, four_modes, generator

from scoresweep import samplers
from scoresweep.noise import geometric

LAST = 0.2


@pytest.mark.parametrize(
    ("name", "levels", "options"),
    [
        ("annealed_langevin", 60, {"step_size": 0.2 * LAST**2, "steps_per_level": 20}),
        ("consistent", 250, {"step_size": 0.03 * LAST**2}),
        ("predictor_corrector", 250, {"corrector_steps": 0}),
        ("predictor_corrector", 250, {"corrector_steps": 0, "predictor": "ancestral"}),
        ("probability_flow", 50, {}),
        ("probability_flow", 250, {"solver": "euler"}),
    ],
)
def test_weights_means_and_covariances(name, levels, options):
    target, sigmas = four_modes(), geometric(8.0, LAST, levels)
    x = target.score.sample(12_000, 8.0, generator(8))
    sampler = getattr(samplers, name)
    end = sampler(target.score, x, sigmas, denoise=False, generator=generator(9), **options)
    target.assert_reached(end, LAST)


def test_the_large_steps_of_denoise_and_renoise_share_the_samples_out_too_evenly():
    # With η = σ² a level holds more noise than q_σ (up to 2σ²), and the modes part too early.
    target = four_modes()
    x = target.score.sample(12_000, 8.0, generator(8))
    sigmas = geometric(8.0, LAST, 60)
    end = samplers.denoise_renoise(target.score, x, sigmas, generator=generator(9))
    excess = (target.shares(end) - WEIGHTS).tolist()
    assert 0.02 < excess[0] < 0.05
    assert -0.06 < excess[3] < -0.02
