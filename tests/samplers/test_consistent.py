"""Consistent annealed sampling: it adds exactly the noise of each level."""

from __future__ import annotations

import pytest
import torch
from exact_targets import MEAN, SPREAD, Gaussian, assert_normal, generator, normal

from scoresweep.noise import explicit, geometric, uniform
from scoresweep.samplers import consistent
from scoresweep.samplers.consistent import level_step_sizes, refine_levels

N = 100_000


def seen(target, x, sigmas, **options):
    """Return x at each level and at the end."""
    states = []
    observe = lambda _, x, __: states.append(x.clone())  # noqa: E731
    end = consistent(target, x, sigmas, generator=generator(), observe=observe, **options)
    return [*states, end]


@pytest.mark.parametrize("ladder", [geometric(5.0, 0.4, 6), uniform(2.0, 0.5, 5)])
def test_around_a_point_the_noise_is_the_noise_of_the_level(ladder):
    # The score of a point is (y − x)/σ²: x − y ~ N(0, σ_i²) at each level, and (1−a)² σ_L² at the
    # end; the denoising step then gives y itself.
    a = 0.7
    x = normal(MEAN, float(ladder[0]), N, 1)
    options = {"step_size": a * float(ladder[-1]) ** 2}
    *states, end = seen(Gaussian(spread=0.0), x, ladder, denoise=False, **options)
    assert len(states) == len(ladder)
    for state, sigma in zip(states, ladder.tolist(), strict=True):
        assert_normal(state, MEAN, sigma**2)
    assert_normal(end, MEAN, ((1 - a) * float(ladder[-1])) ** 2)
    denoised = seen(Gaussian(spread=0.0), x, ladder, **options)[-1]
    torch.testing.assert_close(denoised, torch.full_like(x, MEAN))


@pytest.mark.parametrize("steps", [1, 3])
def test_on_a_gaussian_the_variance_follows_its_recursion(steps):
    # v ← (1 − aσ_i²/(s² + σ_i²))² v + σ_{i+1}² − (1−a)² σ_i², the last without noise; the mean's
    # distance from that of the data shrinks by the same factors.
    sigmas, a = geometric(5.0, 0.4, 6), 0.55
    x = normal(2.0, 3.0, N, 2)
    found = seen(Gaussian(), x, sigmas, step_size=a * 0.16, steps_per_level=steps, denoise=False)
    ratio = (0.4 / 5.0) ** (1 / (5 * steps))
    fine = [5.0 * ratio**i for i in range(5 * steps + 1)]
    mean, variance, expected = 2.0, 9.0, []
    for i, sigma in enumerate(fine):
        if i % steps == 0:
            expected.append((mean, variance))
        keep = 1 - a * sigma**2 / (SPREAD**2 + sigma**2)
        mean = MEAN + keep * (mean - MEAN)
        variance *= keep**2
        if i + 1 < len(fine):
            variance += fine[i + 1] ** 2 - ((1 - a) * sigma) ** 2
    expected.append((mean, variance))
    assert len(found) == len(expected) == 7
    for state, moments in zip(found, expected, strict=True):
        assert_normal(state, *moments)


@pytest.mark.parametrize("denoise_from", ["before_last_step", "after_last_step"])
def test_denoise_from_chooses_the_state(denoise_from):
    # The state before the last step follows from the one observed there: with the variance v the
    # denoised one has (s²/(s² + σ²))² v, and after the last step (1 − aσ²/(s² + σ²))² of that.
    sigmas, a = geometric(5.0, 0.4, 6), 0.55
    x = normal(2.0, 3.0, N, 2)
    options = {"step_size": a * 0.16, "denoise_from": denoise_from}
    *_, last, end = seen(Gaussian(), x, sigmas, **options)
    keep = SPREAD**2 / (SPREAD**2 + 0.16)
    if denoise_from == "after_last_step":
        keep *= 1 - a * 0.16 / (SPREAD**2 + 0.16)
    torch.testing.assert_close(end - MEAN, keep * (last - MEAN), rtol=1e-5, atol=1e-6)
    default = seen(Gaussian(), x, sigmas, step_size=a * 0.16)[-1]
    assert torch.equal(default, end) == (denoise_from == "after_last_step")
    raw, same = (
        seen(Gaussian(), x, sigmas, step_size=a * 0.16, denoise=False, **extra)[-1]
        for extra in ({}, {"denoise_from": denoise_from})
    )
    assert torch.equal(raw, same)


def test_the_refined_ladder_has_equal_factors_and_the_levels_of_the_given_one():
    sigmas = explicit([8.0, 2.0, 1.5])
    fine = refine_levels(sigmas, 4)
    torch.testing.assert_close(fine[::4], sigmas, rtol=1e-14, atol=0)
    ratios = fine[1:] / fine[:-1]
    expected = torch.tensor([0.25**0.25] * 4 + [0.75**0.25] * 4, dtype=torch.float64)
    torch.testing.assert_close(ratios, expected)


def test_the_published_settings_for_cifar10_are_valid():
    sigmas = geometric(50.0, 0.01, 232)
    steps = level_step_sizes(sigmas, step_size=5.6e-6, steps_per_level=1)
    torch.testing.assert_close(steps, 5.6e-6 * (sigmas / 0.01) ** 2)
    level_step_sizes(sigmas, step_size=1.1e-6, steps_per_level=5)
    with pytest.raises(ValueError, match=r"step_size: 1\.1e-06:"):
        level_step_sizes(sigmas, step_size=1.1e-6, steps_per_level=1)


@pytest.mark.parametrize("sigmas", [[8.0, 4.0, 2.0], [8.0, 7.0, 3.5, 2.0]])
@pytest.mark.parametrize("end", [-1, 1])
def test_a_step_outside_the_valid_range_is_refused_before_any_work(sigmas, end):
    # γ = ½ at the least, so that 2 < ε < 6; just inside, the noise is real at every level.
    def score(x, sigma):
        pytest.fail("the score was called")

    edge, x = 4 * (1 + end * 0.5), torch.zeros(2, 1)
    ladder = explicit(sigmas)
    with pytest.raises(ValueError, match=r"step_size: .* = 2 and .* = 6, .*gamma = 0.5"):
        consistent(score, x, ladder, step_size=edge + end * 1e-9)
    inside = consistent(Gaussian(), x, ladder, step_size=edge - end * 1e-9, generator=generator())
    assert bool(torch.isfinite(inside).all())


def test_one_level_is_enough():
    assert float(level_step_sizes(explicit([2.0]), step_size=1.0)[0]) == 1.0
