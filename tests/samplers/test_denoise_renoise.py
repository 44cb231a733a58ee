"""Denoising and renoising."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import MEAN, SPREAD, Gaussian, assert_normal, generator, normal

from scoresweep.noise import explicit, geometric
from scoresweep.samplers import annealed_langevin, denoise_renoise
from scoresweep.samplers.denoise_renoise import level_step_sizes


@pytest.mark.parametrize("added", [2.0, 1.0, 0.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_mean_and_variance_follow_their_recursion(added, steps):
    # Denoise(x; σ²) of a Gaussian is m + s²/(s² + σ²) (x − m); then c σ² is added.
    sigmas, found = geometric(3.0, 0.4, 5), []
    options = {"steps_per_level": steps, "added_variance": added, "denoise": False}
    observe = lambda _, x, __: found.append(x.clone())  # noqa: E731
    x = normal(2.0, 3.0, 100_000, 2)
    denoise_renoise(Gaussian(), x, sigmas, generator=generator(), observe=observe, **options)
    mean, variance = 2.0, 9.0
    for state, sigma in zip(found, sigmas.tolist(), strict=True):
        for _ in range(steps):
            shrink = SPREAD**2 / (SPREAD**2 + sigma**2)
            mean, variance = MEAN + shrink * (mean - MEAN), shrink**2 * variance + added * sigma**2
        assert_normal(state, mean, variance)


def test_with_a_factor_of_two_it_is_langevin_dynamics_with_the_denoise_rule():
    sigmas, x = geometric(3.0, 0.4, 5), normal(0.0, 3.0, 20, 2)
    ours = denoise_renoise(Gaussian(), x, sigmas, generator=generator())
    options = {"step_size": 1.0, "step_rule": "denoise", "steps_per_level": 1}
    theirs = annealed_langevin(Gaussian(), x, sigmas, generator=generator(), **options)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_one_factor_keeps_a_gaussian_invariant():
    sigma = 0.8
    v = SPREAD**2 + sigma**2
    factor = (2 * SPREAD**2 + sigma**2) / v
    x = normal(MEAN, math.sqrt(v), 100_000, 2)
    options = {"steps_per_level": 20, "denoise": False, "generator": generator()}
    kept = denoise_renoise(Gaussian(), x, explicit([sigma]), added_variance=factor, **options)
    assert_normal(kept, MEAN, v)


def test_with_a_factor_of_two_the_stationary_variance_is_larger():
    # v = (s²/(s² + σ²))² v + 2σ² gives v = 2(s² + σ²)²/(2s² + σ²), s² only in the limit σ → 0.
    sigma, u = 0.8, SPREAD**2 + 0.8**2
    x = normal(MEAN, SPREAD, 100_000, 2)
    options = {"steps_per_level": 20, "denoise": False, "generator": generator()}
    end = denoise_renoise(Gaussian(), x, explicit([sigma]), **options)
    assert_normal(end, MEAN, 2 * u**2 / (2 * SPREAD**2 + sigma**2))


def test_denoising_ends_at_the_posterior_mean():
    sigmas, x = geometric(3.0, 0.4, 4), normal(0.0, 3.0, 50, 2)
    noisy = denoise_renoise(Gaussian(), x, sigmas, denoise=False, generator=generator())
    clean = denoise_renoise(Gaussian(), x, sigmas, generator=generator())
    shrink = SPREAD**2 / (SPREAD**2 + 0.16)
    torch.testing.assert_close(clean, MEAN + shrink * (noisy - MEAN))


def test_the_step_sizes_are_the_variances():
    sigmas = geometric(3.0, 0.5, 3)
    torch.testing.assert_close(level_step_sizes(sigmas), sigmas**2)
