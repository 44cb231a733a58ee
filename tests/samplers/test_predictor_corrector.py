"""Predictor and corrector of the variance-exploding SDE."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import MEAN, SPREAD, Gaussian, assert_normal, generator, normal

from scoresweep.noise import explicit, geometric
from scoresweep.samplers import predictor_corrector
from scoresweep.samplers.predictor_corrector import level_step_sizes

SIGMAS = geometric(3.0, 0.4, 6)


@pytest.mark.parametrize("predictor", ["reverse_diffusion", "ancestral", "probability_flow"])
def test_the_predictor_follows_its_recursion(predictor):
    found, ladder = [], SIGMAS.tolist()
    options = {"predictor": predictor, "corrector_steps": 0, "generator": generator()}
    observe = lambda _, x, __: found.append(x.clone())  # noqa: E731
    x = normal(2.0, 3.0, 100_000, 2)
    end = predictor_corrector(Gaussian(), x, SIGMAS, observe=observe, **options)
    mean, variance = 2.0, 9.0
    for i, state in enumerate(found):
        assert_normal(state, mean, variance)
        following = ladder[i + 1] if i + 1 < len(ladder) else 0.0
        step = ladder[i] ** 2 - following**2
        drift = 0.5 if predictor == "probability_flow" else 1.0
        keep = 1 - drift * step / (SPREAD**2 + ladder[i] ** 2)
        shrink = {"reverse_diffusion": 1.0, "ancestral": following / ladder[i]}.get(predictor, 0.0)
        added = step * shrink**2 if following else 0.0
        mean, variance = MEAN + keep * (mean - MEAN), keep**2 * variance + added
    assert len(found) == 6
    assert_normal(end, mean, variance)  # the step to σ = 0


def test_probability_flow_is_eulers_method_in_the_variance():
    # x − m ∝ √(s² + σ²) solves the ODE; the error of Euler's method falls with the step.
    exact, errors = math.sqrt((SPREAD**2 + 0.16) / (SPREAD**2 + 9)), []
    for levels in (400, 800):
        x, sigmas = normal(0.0, 3.0, 3, 2), geometric(3.0, 0.4, levels)
        options = {"predictor": "probability_flow", "corrector_steps": 0, "denoise": False}
        factors = (predictor_corrector(Gaussian(), x, sigmas, **options) - MEAN) / (x - MEAN)
        errors.append(float(factors[0, 0]) / exact - 1)
    assert abs(errors[1]) < 5e-3
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("denoise", [True, False])
def test_the_corrector_alone_takes_its_steps_at_every_level(denoise):
    # Its steps at each level, chained, from one generator; and the denoising step.
    x, source = normal(0.0, 3.0, 4, 5), generator()
    alone = {"corrector_steps": 2, "snr": 0.3, "predictor": "none"}
    end = predictor_corrector(
        Gaussian(), x, SIGMAS, denoise=denoise, generator=generator(), **alone
    )
    for sigma in SIGMAS.tolist():
        for _ in range(2):
            s, z = (MEAN - x) / (SPREAD**2 + sigma**2), torch.empty_like(x)
            z.normal_(generator=source)
            step = 2 * (0.3 * z.norm(dim=1, keepdim=True) / s.norm(dim=1, keepdim=True)) ** 2
            x = x + step * s + (2 * step).sqrt() * z
    if denoise:
        x = x + 0.16 * (MEAN - x) / (SPREAD**2 + 0.16)
    torch.testing.assert_close(end, x, rtol=1e-10, atol=0)


@pytest.mark.parametrize("predictor", ["reverse_diffusion", "ancestral"])
def test_around_a_point_ancestral_sampling_is_exact(predictor):
    # s = (y − x)/σ²: σ_{i+1}⁴/σ_i² is kept of the variance; ancestral noise makes it σ_{i+1}².
    found = []
    observe = lambda _, x, __: found.append(x.clone())  # noqa: E731
    options = {"corrector_steps": 0, "predictor": predictor, "generator": generator()}
    x = normal(MEAN, 3.0, 100_000, 1)
    predictor_corrector(Gaussian(spread=0.0), x, SIGMAS, observe=observe, **options)
    assert_normal(found[0], MEAN, 9.0)
    first, second = SIGMAS[:2].tolist()
    kept = second**4 / first**2
    if predictor == "ancestral":
        assert_normal(found[1], MEAN, second**2)
        assert_normal(found[-1], MEAN, 0.16)
    else:
        assert_normal(found[1], MEAN, kept + first**2 - second**2)


@pytest.mark.parametrize("dimension", [12, 24])
def test_a_corrector_step_changes_the_mean_square_by_its_formula(dimension):
    # With x − m ~ N(0, u), s = (m − x)/v and η = 2 (r ‖z‖ v/‖x − m‖)², E‖z‖⁴ = D(D+2) and
    # E[1/‖x − m‖²] = 1/(u(D−2)): E‖x' − m‖²/D = u − 4r²v + 4r²(1 + r²) v² (D+2)/(u(D−2)).
    r, u, v = 0.5, 0.3, SPREAD**2 + 0.16
    x = normal(MEAN, math.sqrt(u), 100_000, dimension)
    options = {"snr": r, "denoise": False, "generator": generator()}
    end = predictor_corrector(Gaussian(), x, explicit([0.4]), **options)
    squares = (end - MEAN).square().mean(dim=1)
    factor = (dimension + 2) / (dimension - 2)
    expected = u - 4 * r**2 * v + 4 * r**2 * (1 + r**2) * v**2 * factor / u
    error = float(squares.std()) / math.sqrt(len(squares))
    assert error < 0.005 * expected
    assert float(squares.mean()) == pytest.approx(expected, abs=4 * error)


def test_a_sample_does_not_depend_on_the_others():
    # Norms that are means over the batch, as in public code, would make it do so.
    x = normal(0.0, 1.0, 4, 5)
    others = torch.cat([x[:1], 50 * x[1:]])
    options = {"corrector_steps": 2, "denoise": True}
    first = predictor_corrector(Gaussian(), x, SIGMAS, generator=generator(), **options)
    second = predictor_corrector(Gaussian(), others, SIGMAS, generator=generator(), **options)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_corrector_and_predictor_together_reach_a_gaussian():
    # In 200 dimensions the norms hardly vary, and fine steps with a small r leave a bias of
    # two or three percent.
    sigmas = geometric(5.0, 0.1, 120)
    x = normal(MEAN, math.hypot(5.0, SPREAD), 400, 200)
    options = {"snr": 0.05, "corrector_steps": 2, "denoise": False, "generator": generator()}
    end = predictor_corrector(Gaussian(), x, sigmas, **options)
    assert float(end.mean()) == pytest.approx(MEAN, abs=4 * 0.6 / math.sqrt(80_000))
    assert float(end.var()) == pytest.approx(SPREAD**2 + 0.01, rel=0.04)


def test_levels_have_no_step_size():
    assert level_step_sizes(SIGMAS).isnan().tolist() == [True] * 6
