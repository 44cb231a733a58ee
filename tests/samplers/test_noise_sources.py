"""Sources of noise."""

from __future__ import annotations

import math

import pytest
import torch
from exact_targets import Gaussian, assert_normal, generator, normal

from scoresweep.noise import geometric
from scoresweep.samplers import annealed_langevin, interpolated_noise


def test_noise_is_normal_and_interpolated_along_a_row():
    rows = interpolated_noise(5, generator())(torch.empty(500, 40)).view(100, 5, 40).double()
    for k in range(5):
        assert_normal(rows[:, k], 0.0, 1.0)
        # The correlation with the first is the cosine of the angle; that with the last, its sine.
        angle = math.pi * k / 8
        for other, expected in ((0, math.cos(angle)), (4, math.sin(angle))):
            correlation = float((rows[:, k] * rows[:, other]).mean())
            assert correlation == pytest.approx(expected, abs=4 * math.sqrt(2 / 4000))
    between = float((rows[:-1, 0] * rows[1:, 0]).mean())
    assert between == pytest.approx(0, abs=4 / math.sqrt(3960))


def test_each_call_draws_new_noise():
    noise = interpolated_noise(2, generator())
    assert not torch.equal(noise(torch.empty(4, 3)), noise(torch.empty(4, 3)))


def test_incomplete_rows_are_refused():
    with pytest.raises(ValueError, match=r"multiple of 2 .* 7"):
        interpolated_noise(2, generator())(torch.empty(7, 3))
    with pytest.raises(ValueError, match=r"steps .* 1"):
        interpolated_noise(1, generator())


def test_interpolated_samples_have_the_right_variance_and_correlation():
    # The walk is linear here: samples of a row correlate as their noise does.
    sigmas = geometric(3.0, 0.4, 6)
    x = normal(0.0, 3.0, 4000, 2)
    ends = []
    for source in (interpolated_noise(4, generator()), None):
        options = {"step_size": 0.16, "generator": generator(), "denoise": False}
        x = torch.zeros(16_000, 2, dtype=torch.float64)
        ends.append(annealed_langevin(Gaussian(), x, sigmas, noise=source, **options))
    rows = ends[0].view(4000, 4, 2)
    variance = float(ends[1].var())
    for k in range(4):
        assert float(rows[:, k].var()) == pytest.approx(variance, rel=4 * math.sqrt(3 / 8000))
    centred = rows - rows.mean(dim=0)
    correlation = float((centred[:, 0] * centred[:, 1]).mean()) / variance
    assert correlation == pytest.approx(math.cos(math.pi / 6), abs=0.06)
