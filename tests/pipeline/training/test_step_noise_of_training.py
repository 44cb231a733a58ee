import itertools

import pytest
import torch

from scoresweep.objectives.sigma_laws import log_uniform
from scoresweep.pipeline.training.step_noise import BLOCK, StepNoise

CPU = torch.device("cpu")


def test_any_slicing_of_a_batch_gives_the_same_numbers():
    draws = StepNoise(3, (2,), 7, CPU, projections=3, distribution="normal")
    levels, noise, directions = draws(5, 0, 100)
    assert directions.shape == (3, 100, 2)
    for cuts in ([0, 50, 100], [0, 25, 50, 75, 100], [0, 1, BLOCK, BLOCK + 1, 100]):
        parts = [draws(5, a, b) for a, b in itertools.pairwise(cuts)]
        assert torch.equal(torch.cat([p[0] for p in parts]), levels)
        assert torch.equal(torch.cat([p[1] for p in parts]), noise)
        assert torch.equal(torch.cat([p[2] for p in parts], dim=1), directions)


def test_any_slicing_gives_the_same_noise_levels_of_a_law():
    sigmas = torch.tensor([2.0, 0.1])
    draws = StepNoise(
        *(3, (2,), 7, CPU),
        draw_sigmas=lambda count, generator: log_uniform(count, sigmas, generator=generator),
    )
    whole = draws(5, 0, 100)[0]
    assert torch.equal(torch.cat([draws(5, 0, 30)[0], draws(5, 30, 100)[0]]), whole)
    assert whole.is_floating_point()
    assert len(whole.unique()) > 95


def test_directions_change_neither_levels_nor_noise():
    plain = StepNoise(3, (2,), 7, CPU)(5, 0, 100)
    assert plain[2].shape == (0, 100, 2)
    for distribution in ("rademacher", "normal"):
        drawn = StepNoise(3, (2,), 7, CPU, 4, distribution)(5, 0, 100)
        assert torch.equal(drawn[0], plain[0])
        assert torch.equal(drawn[1], plain[1])


@pytest.mark.parametrize(("distribution", "fourth"), [("rademacher", 1), ("normal", 3)])
def test_directions_have_mean_zero_and_unit_covariance(distribution, fourth):
    drawn = StepNoise(0, (3,), 4, CPU, 2, distribution)(0, 0, 20_000)[2].double().reshape(-1, 3)
    error = len(drawn) ** -0.5
    assert drawn.mean(0).abs().max() < 4 * error
    covariance = drawn.T @ drawn / len(drawn)
    assert (covariance - torch.eye(3)).abs().max() < 4 * 2**0.5 * error
    assert drawn.pow(4).mean() == pytest.approx(fourth, abs=4 * 96**0.5 * error)


@pytest.mark.parametrize("other", [(3, 6), (4, 5)])
def test_other_seeds_and_steps_give_other_numbers(other):
    first = StepNoise(3, (2,), 7, CPU)(5, 0, 64)[1]
    second = StepNoise(other[0], (2,), 7, CPU)(other[1], 0, 64)[1]
    assert not torch.isclose(first, second).any()


def test_levels_are_uniform_and_noise_is_standard_normal():
    draws = StepNoise(0, (3,), 4, CPU)
    drawn = [draws(step, 0, 128) for step in range(400)]
    levels = torch.cat([d[0] for d in drawn])
    noise = torch.cat([d[1] for d in drawn]).double()
    shares = torch.bincount(levels, minlength=4) / len(levels)
    standard_error = (0.25 * 0.75 / len(levels)) ** 0.5
    assert (shares - 0.25).abs().max() < 4 * standard_error
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert (noise.square().mean() - 1).abs() < 4 * (2 / noise.numel()) ** 0.5


def test_blocks_do_not_repeat():
    noise = StepNoise(0, (1,), 2, CPU)(0, 0, 4 * BLOCK)[1].flatten()
    assert len(noise.unique()) == 4 * BLOCK
