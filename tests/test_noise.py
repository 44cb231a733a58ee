"""Noise ladders and the rules that choose their numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scoresweep.noise import (
    build_ladder,
    cosine,
    explicit,
    geometric,
    karras,
    levels_by_technique_2,
    max_distance,
    max_rms_norm,
    step_size_by_technique_4,
    uniform,
)

# Published with NCSNv2 (Song and Ermon 2020, tables in section 5 and appendix B): σ_1, dimension
# and L, and for four of them T and the ε of Technique 4.
LADDERS = {
    "cifar10": (50, 3 * 32**2, 232),
    "celeba": (90, 3 * 64**2, 500),
    "church": (140, 3 * 96**2, 788),
    "bedroom": (190, 3 * 128**2, 1086),
    "ffhq": (348, 3 * 256**2, 2311),
}
STEP_SIZES = {
    "cifar10": (5, 6.18e-6),
    "celeba": (5, 3.34e-6),
    "bedroom": (3, 1.77e-6),
    "ffhq": (3, 8.93e-7),
}


@pytest.mark.parametrize("ladder", [geometric, uniform, cosine, karras])
@pytest.mark.parametrize(("first", "last", "levels"), [(50.0, 0.01, 232), (1.3, 0.7, 2)])
def test_a_ladder_decreases_between_its_exact_ends(ladder, first, last, levels):
    sigmas = ladder(first, last, levels)
    assert sigmas.dtype == torch.float64
    assert len(sigmas) == levels
    assert sigmas[0] == first
    assert sigmas[-1] == last
    assert (sigmas.diff() < 0).all()


@pytest.mark.parametrize(
    ("ladder", "expected"),
    [
        (geometric(16, 1, 5), [16, 8, 4, 2, 1]),
        (uniform(16, 1, 4), [16, 11, 6, 1]),
        (cosine(9, 1, 5), [9, 5 + 4 * math.sqrt(0.5), 5, 5 - 4 * math.sqrt(0.5), 1]),
        (karras(256, 1, 3, rho=2), [256, 8.5**2, 1]),
        (karras(128, 1, 3), [128, 1.5**7, 1]),
        (explicit([3, 2.5, 0.1]), [3, 2.5, 0.1]),
    ],
)
def test_the_levels_between_the_ends(ladder, expected):
    torch.testing.assert_close(ladder, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    "make",
    [
        lambda: geometric(1, 2, 5),
        lambda: uniform(1, 1, 5),
        lambda: cosine(1, 0, 5),
        lambda: karras(1, 0.1, 1),
        lambda: explicit([1, 0.5, 0.5]),
        lambda: explicit([1, -1]),
    ],
)
def test_a_ladder_that_does_not_decrease_is_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_max_distance_is_the_largest_of_all_pairs(scale):
    generator = torch.Generator().manual_seed(0)
    points = scale * torch.randn(300, 7, generator=generator) + 5 * scale
    expected = float(torch.cdist(points.double(), points.double()).max())
    assert max_distance(points, block=64) == pytest.approx(expected, rel=1e-6)
    assert max_rms_norm(points) == pytest.approx(expected / math.sqrt(7), rel=1e-6)


def test_max_distance_does_not_stop_at_a_pair_that_is_merely_far():
    # On a circle every point is as far from the centre as any, and only opposite ones are 2 apart.
    angles = torch.linspace(0, 2 * math.pi, 41)[:-1]
    points = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert max_distance(points, block=1) == pytest.approx(2, rel=1e-6)


def test_max_distance_of_a_large_set_compares_ten_thousand_random_points():
    points = torch.arange(60_001.0)[:, None] ** 2
    chosen = torch.randperm(60_001, generator=torch.Generator().manual_seed(3))[:10_000]
    expected = float(points[chosen].max() - points[chosen].min())
    found = max_distance(points, torch.Generator().manual_seed(3))
    assert found == pytest.approx(expected, rel=1e-6)
    assert found < float(points.max())


@pytest.mark.parametrize("name", LADDERS)
def test_technique_2_gives_the_published_ladders(name):
    first, dimension, levels = LADDERS[name]
    assert levels_by_technique_2(first, 0.01, dimension) == levels


def test_technique_2_with_the_coverage_of_the_paper():
    # Solved by hand for CIFAR-10: C = 0.5 gives L = 219.2.
    assert levels_by_technique_2(50, 0.01, 3072, coverage=0.5) == 219


def test_technique_2_needs_five_dimensions():
    with pytest.raises(ValueError, match=r"levels.*found 2"):
        levels_by_technique_2(8, 0.1, 2)
    assert levels_by_technique_2(8, 0.1, 5) >= 2


@pytest.mark.parametrize("name", STEP_SIZES)
def test_technique_4_gives_the_published_step_sizes(name):
    (first, _, levels), (steps, expected) = LADDERS[name], STEP_SIZES[name]
    found = step_size_by_technique_4(geometric(first, 0.01, levels), steps)
    assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("levels", "steps"), [(5, 1), (10, 3), (30, 20)])
def test_technique_4_brings_the_variance_nearest_to_one(levels, steps):
    sigmas = geometric(8, 0.5, levels)
    a = np.linspace(1e-5, 2 - 1e-5, 400_001)
    b = 2 * a / (1 - (1 - a) ** 2)
    variance = (1 - a) ** (2 * steps) * (16 ** (2 / (levels - 1)) - b) + b
    best = a[np.abs(variance - 1).argmin()]
    assert step_size_by_technique_4(sigmas, steps) / 0.25 == pytest.approx(best, abs=2e-5)


def test_technique_4_needs_two_levels_and_a_step():
    with pytest.raises(ValueError, match=r"step_size: 'auto': .*two levels"):
        step_size_by_technique_4(explicit([0.05]), 3)
    with pytest.raises(ValueError, match="steps_per_level: 0: "):
        step_size_by_technique_4(explicit([2.0, 1.0]), 0)


def test_one_level_is_a_ladder():
    assert torch.equal(explicit([0.05]), torch.tensor([0.05], dtype=torch.float64))


def test_build_ladder_resolves_options_from_the_data():
    points = torch.rand(50, 12, generator=torch.Generator().manual_seed(0))
    first = max_distance(points)
    found = build_ladder(
        geometric, {"sigma_max": "max_distance", "sigma_min": 0.1, "levels": "auto"}, points
    )
    assert torch.equal(found, geometric(first, 0.1, levels_by_technique_2(first, 0.1, 12)))
    options = {"sigma_max": "max_rms", "sigma_min": 0.1, "levels": 4, "rho": 3.0}
    found = build_ladder(karras, options, points)
    assert torch.equal(found, karras(first / math.sqrt(12), 0.1, 4, rho=3.0))
    assert torch.equal(build_ladder(explicit, {"sigmas": [2, 1]}, points), explicit([2, 1]))
