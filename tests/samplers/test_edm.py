"""EDM's stochastic sampler: closed forms on a Gaussian, and Algorithm 2 written in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact_targets import MEAN, SPREAD, Gaussian, assert_normal, generator, normal

from scoresweep.noise import geometric, karras
from scoresweep.samplers import edm, probability_flow
from scoresweep.samplers.edm import level_step_sizes, raised_levels

CHURN = {"s_churn": 4.0, "s_min": 0.05, "s_max": 2.0, "s_noise": 1.1}
TIMES = ["sigma", "variance"]


def algorithm_2(x, sigmas, draws, time, s_churn=0.0, s_min=0.0, s_max=math.inf, s_noise=1.0):
    """Algorithm 2 in terms of the denoiser, with σ(t) = t or √t and s(t) = 1; `x` is a NumPy array.

    A line of the algorithm is a line here, so that it shares nothing with the sampler.
    """
    to_sigma, to_time = {
        "sigma": (lambda t: t, lambda sigma: sigma),
        "variance": (np.sqrt, np.square),
    }[time]
    speed = {"sigma": lambda _: 1.0, "variance": lambda t: 0.5 / np.sqrt(t)}[time]
    denoiser = lambda x, sigma: x + sigma**2 * (MEAN - x) / (SPREAD**2 + sigma**2)  # noqa: E731
    slope = lambda x, t: speed(t) / to_sigma(t) * (x - denoiser(x, to_sigma(t)))  # noqa: E731
    times, draws = [*map(to_time, sigmas), 0.0], iter(draws)
    for i in range(len(sigmas)):
        gamma = min(s_churn / len(sigmas), math.sqrt(2) - 1) if s_min <= sigmas[i] <= s_max else 0
        t_hat = to_time(sigmas[i] + gamma * sigmas[i])
        if gamma:
            variance = to_sigma(t_hat) ** 2 - to_sigma(times[i]) ** 2
            x = x + np.sqrt(variance) * s_noise * next(draws)
        d = slope(x, t_hat)
        following = x + (times[i + 1] - t_hat) * d
        if times[i + 1]:
            d_prime = slope(following, times[i + 1])
            following = x + (times[i + 1] - t_hat) * (d + d_prime) / 2
        x = following
    assert next(draws, None) is None
    return x


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("options", [{}, CHURN, {"s_churn": 100.0}], ids=["none", "some", "most"])
def test_it_is_algorithm_2(time, options):
    sigmas, x, source = karras(3.0, 0.02, 8), normal(0.0, 3.0, 4, 2), generator()
    low, high = options.get("s_min", 0.0), options.get("s_max", math.inf)
    churned = sum(low <= sigma <= high for sigma in sigmas.tolist()) if options else 0
    draws = [torch.randn(4, 2, dtype=x.dtype, generator=source).numpy() for _ in range(churned)]
    expected = algorithm_2(x.numpy(), sigmas.tolist(), draws, time, **options)
    end = edm(Gaussian(), x, sigmas, time=time, generator=generator(), **options)
    np.testing.assert_allclose(end.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("time", TIMES)
def test_its_error_is_of_second_order(time):
    # x(σ) − m ∝ √(s² + σ²) solves the ODE.
    exact, errors = math.sqrt((SPREAD**2 + 0.16) / (SPREAD**2 + 9)), []
    for levels in (101, 201):
        x, sigmas = normal(0.0, 3.0, 10, 2), geometric(3.0, 0.4, levels)
        end = edm(Gaussian(), x, sigmas, time=time, denoise=False)
        factors = (end - MEAN) / (x - MEAN)
        torch.testing.assert_close(factors, factors[:1, :1].expand(10, 2), rtol=1e-10, atol=0)
        errors.append(float(factors[0, 0]) / exact - 1)
    assert abs(errors[1]) < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("denoise", [True, False])
def test_without_churn_it_is_heuns_method_of_probability_flow(denoise):
    x, sigmas = normal(0.0, 3.0, 4, 2), karras(3.0, 0.02, 9)
    end = edm(Gaussian(), x, sigmas, denoise=denoise)
    expected = probability_flow(Gaussian(), x, sigmas, denoise=denoise)
    torch.testing.assert_close(end, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(("last", "denoise"), [(0.002, True), (0.4, False)])
def test_churn_keeps_a_gaussian(time, last, denoise):
    # Fine steps from q_σ₁, with noise raised at every level, lead to the data, or to q_σ_L.
    x = normal(MEAN, math.hypot(3.0, SPREAD), 50_000, 2)
    options = {"s_churn": 20.0, "time": time, "denoise": denoise, "generator": generator()}
    end = edm(Gaussian(), x, karras(3.0, last, 80), **options)
    assert_normal(end, MEAN, SPREAD**2 + (0.0 if denoise else last**2))


def test_more_noise_than_churn_takes_away_widens_a_gaussian():
    # A variance v at σ becomes (v + S_noise² (σ̂² − σ²)) f², where f is the factor of Heun's step.
    ladder, variance = karras(3.0, 0.02, 12).tolist(), 9.0 + SPREAD**2
    raised = raised_levels(ladder, 4.0, 0.0, 2.0)
    for i, (sigma, high) in enumerate(zip(ladder, raised, strict=True)):
        following = ladder[i + 1] if i + 1 < len(ladder) else 0.0
        slope, h = high / (SPREAD**2 + high**2), following - high
        ahead = 1 + h * slope
        heun = 1 + h / 2 * (slope + following / (SPREAD**2 + following**2) * ahead)
        variance += 1.3**2 * (high**2 - sigma**2)
        variance *= (heun if following else ahead) ** 2
    x = normal(MEAN, math.hypot(3.0, SPREAD), 50_000, 2)
    options = {"s_churn": 4.0, "s_max": 2.0, "s_noise": 1.3, "generator": generator()}
    end = edm(Gaussian(), x, torch.tensor(ladder), **options)
    assert variance > 1.2 * SPREAD**2
    assert_normal(end, MEAN, variance)


def test_churn_raises_the_levels_of_its_range():
    ladder = [4.0, 3.0, 2.0, 1.0]
    assert raised_levels(ladder, 1.0, 2.0, 3.0) == [4.0, 3.75, 2.5, 1.0]
    assert raised_levels(ladder, 1.0, 0.0, None) == [5.0, 3.75, 2.5, 1.25]
    most = raised_levels(ladder, 80.0, 0.0, None)
    assert most == pytest.approx([math.sqrt(2) * sigma for sigma in ladder])
    assert raised_levels(ladder, 0.0, 0.0, None) == ladder


def test_every_level_is_observed_before_churn_with_the_scaled_score_after_it():
    sigmas, seen = geometric(3.0, 0.4, 5), []
    observe = lambda level, x, score: seen.append((level, x.clone(), score))  # noqa: E731
    x = normal(MEAN, math.hypot(3.0, SPREAD), 50_000, 2)
    options = {"s_churn": 1.0, "s_noise": 1e-9, "generator": generator()}
    edm(Gaussian(), x, sigmas, observe=observe, **options)
    assert [level for level, _, _ in seen] == list(range(5))
    for (_, state, score), sigma in zip(seen, sigmas.tolist(), strict=True):
        # With hardly any noise, the state before churn is the state after it.
        expected = 1.2 * sigma * (MEAN - state) / (SPREAD**2 + (1.2 * sigma) ** 2)
        torch.testing.assert_close(sigma * score, expected, rtol=1e-6, atol=1e-7)
    seen.clear()
    edm(Gaussian(), x, sigmas, observe=observe, **options | {"s_noise": 1.0})
    assert_normal(seen[0][1], MEAN, 9.0 + SPREAD**2)
    assert level_step_sizes(sigmas).isnan().all()
