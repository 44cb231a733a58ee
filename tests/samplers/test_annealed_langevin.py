"""Annealed Langevin dynamics on Gaussians, where every moment is known."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import MEAN, Gaussian, assert_normal, generator, normal

from scoresweep.noise import geometric, step_size_by_technique_4
from scoresweep.samplers import annealed_langevin, step_sizes
from scoresweep.samplers.annealed_langevin import level_step_sizes
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


def test_samples_depend_on_the_generator_and_x_is_not_changed():
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


def test_the_score_is_called_once_per_step():
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

    with pytest.raises(ValueError, match="step_size: 2:"):
        annealed_langevin(score, torch.zeros(2, 1), torch.tensor([2.0, 1.0]), step_size=2.0)


@pytest.mark.parametrize("steps", [1, 4])
def test_around_a_point_the_variance_is_technique_4s_formula(steps):
    # Song and Ermon 2020, proposition 3: after T steps at a level that began with variance u,
    # v/σ_i² = (1−a)^{2T} (u/σ_i² − b) + b with b = 2a/(1 − (1−a)²).
    sigmas, a, found = geometric(5.0, 0.4, 6), 0.3, []
    b = 2 * a / (1 - (1 - a) ** 2)
    observe = lambda _, x, __: found.append(x.clone())  # noqa: E731
    x = normal(MEAN, 5.0, 100_000, 2)
    options = {"step_size": a * 0.16, "steps_per_level": steps, "generator": generator()}
    annealed_langevin(Gaussian(spread=0.0), x, sigmas, observe=observe, **options)
    variance = 25.0
    for state, sigma in zip(found, sigmas.tolist(), strict=True):
        variance = sigma**2 * ((1 - a) ** (2 * steps) * (variance / sigma**2 - b) + b)
        assert_normal(state, MEAN, variance)


def test_an_automatic_step_size_is_technique_4s():
    sigmas = geometric(5.0, 0.4, 6)
    expected = step_size_by_technique_4(sigmas, 3) * (sigmas / 0.4) ** 2
    torch.testing.assert_close(
        level_step_sizes(sigmas, step_size="auto", steps_per_level=3), expected
    )
    x = normal(0.0, 5.0, 4, 2)
    automatic, by_hand = (
        annealed_langevin(
            Gaussian(), x, sigmas, step_size=size, steps_per_level=3, generator=generator()
        )
        for size in ("auto", step_size_by_technique_4(sigmas, 3))
    )
    assert torch.equal(automatic, by_hand)


def test_in_painting_follows_its_recursion():
    # Of two coordinates with correlation 0.8 the first is known, y₁ = 1.5. At a level it is held at
    # y₁ + σ_i z with one z, so that the other one, with P the inverse of Σ + σ_i² I, moves by
    # x₂ ← (1 − ηP₂₂) x₂ − ηP₂₁ (y₁ + σ_i z) + √(2η) z₂.
    n, rho, sigmas, steps = 40_000, 0.8, geometric(3.0, 0.3, 5), 3
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)

    def precision(sigma):
        return torch.linalg.inv(covariance + sigma**2 * torch.eye(2))

    options = {"step_size": 0.4 * 0.09, "steps_per_level": steps, "generator": generator()}
    known = torch.tensor([[1.5, math.nan]], dtype=torch.float64).expand(n, 2)
    seen = []
    end = annealed_langevin(
        lambda x, sigma: -x @ precision(float(sigma[0])),
        normal(2.0, 3.0, n, 2),
        sigmas,
        known=known,
        mask=torch.tensor([True, False]),
        observe=lambda _, x, __: seen.append(x.clone()),
        **options,
    )
    mean, variance = 2.0, 9.0
    for state, sigma in zip(seen, sigmas.tolist(), strict=True):
        step, p, shared = 0.4 * sigma**2, precision(sigma), 0.0  # shared: Cov(x₂, σ z)
        keep, pull = 1 - step * float(p[1, 1]), -step * float(p[1, 0])
        for _ in range(steps):
            mean = keep * mean + pull * 1.5
            variance = keep**2 * variance + pull**2 * sigma**2 + 2 * keep * pull * shared + 2 * step
            shared = keep * shared + pull * sigma**2
        assert_normal(state[:, 0], 1.5, sigma**2)
        assert_normal(state[:, 1], mean, variance)
        found = float(((state[:, 0] - 1.5) * (state[:, 1] - mean)).mean())
        assert found == pytest.approx(shared, abs=4 * math.sqrt(2 * sigma**2 * variance / n))
    assert torch.equal(end[:, 0], torch.full((n,), 1.5, dtype=torch.float64))


def test_in_painting_needs_a_mask():
    with pytest.raises(ValueError, match="both known and mask"):
        annealed_langevin(
            Gaussian(),
            torch.zeros(2, 1),
            geometric(2.0, 1.0, 2),
            step_size=0.1,
            known=torch.zeros(2, 1),
        )
