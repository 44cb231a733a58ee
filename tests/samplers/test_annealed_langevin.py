"""Annealed Langevin dynamics on Gaussians, where every moment is known."""

from __future__ import annotations

import math

import pytest
import torch

from scoresweep.noise import geometric
from scoresweep.samplers import annealed_langevin, step_sizes
from scoresweep.score import expand_sigma

SPREAD = 0.6


def exact_score(x, sigma):
    """Score of N(0, SPREAD² I) smoothed by σ."""
    return -x / (SPREAD**2 + expand_sigma(sigma, x) ** 2)


def walk(x, sigmas, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    options = {"step_size": 0.3 * float(sigmas[-1]) ** 2, **options}
    return annealed_langevin(exact_score, x, sigmas, generator=generator, **options)


@pytest.mark.parametrize("rule", ["variance", "linear", "constant", "denoise"])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_variance_follows_its_recursion(rule, steps):
    # A step maps N(0, v) to N(0, (1 − η/(σ² + s²))² v + 2η). Of 200,000 samples the variance has a
    # relative standard error of √(2/200,000) = 0.32 %.
    sigmas = geometric(5.0, 0.4, 6)
    found = []
    x = 2 * torch.randn(100_000, 2, generator=torch.Generator().manual_seed(1))
    walk(
        x,
        sigmas,
        step_rule=rule,
        steps_per_level=steps,
        denoise=False,
        observe=lambda _, x, __: found.append(float(x.var())),
    )
    variance, expected = 4.0, []
    for sigma, step in zip(sigmas.tolist(), step_sizes(rule, sigmas, 0.048).tolist(), strict=True):
        for _ in range(steps):
            variance = (1 - step / (sigma**2 + SPREAD**2)) ** 2 * variance + 2 * step
        expected.append(variance)
    assert found == pytest.approx(expected, rel=4 * math.sqrt(2 / 200_000))


def test_denoising_ends_at_the_posterior_mean():
    # Tweedie's formula for a Gaussian: E[x₀ | x] = x s²/(s² + σ_L²).
    sigmas = geometric(3.0, 0.5, 4)
    start = torch.randn(100, 3, generator=torch.Generator().manual_seed(2))
    noisy, clean = walk(start, sigmas, denoise=False), walk(start, sigmas, denoise=True)
    torch.testing.assert_close(clean, noisy * SPREAD**2 / (SPREAD**2 + 0.25))


def test_the_generator_decides_and_the_start_is_left_alone():
    sigmas = geometric(3.0, 0.5, 4)
    start = torch.rand(10, 2, 4, 4)
    before = start.clone()
    first = walk(start, sigmas)
    assert torch.equal(start, before)
    assert torch.equal(first, walk(start, sigmas))
    assert torch.equal(first, walk(start.contiguous(memory_format=torch.channels_last), sigmas))
    assert not torch.equal(first, walk(start, sigmas, seed=1))


def test_every_level_is_observed_once_with_the_score_of_its_last_step():
    sigmas = geometric(3.0, 0.5, 4)
    seen = []

    def score(x, sigma):
        return torch.full_like(x, float(sigma[0]))

    def observe(level, x, score):
        seen.append((level, x.shape, float(score[0, 0])))

    annealed_langevin(score, torch.zeros(5, 2), sigmas, step_size=0.01, observe=observe)
    assert [level for level, _, _ in seen] == [0, 1, 2, 3]
    assert [shape for _, shape, _ in seen] == [(5, 2)] * 4
    assert [value for _, _, value in seen] == pytest.approx(sigmas.tolist())


def test_the_score_is_called_as_often_as_asked():
    calls = []

    def score(x, sigma):
        calls.append(sigma.tolist())
        return -x

    sigmas = torch.tensor([2.0, 1.0])
    annealed_langevin(score, torch.zeros(3, 1), sigmas, step_size=0.1, steps_per_level=2)
    assert calls == [[2.0] * 3] * 2 + [[1.0] * 3] * 2 + [[1.0] * 3]


def test_a_step_that_diverges_is_refused_before_any_work():
    def score(x, sigma):
        pytest.fail("the score was called")

    with pytest.raises(ValueError, match="diverges"):
        annealed_langevin(score, torch.zeros(2, 1), torch.tensor([2.0, 1.0]), step_size=2.0)
