"""Distances of sets that are equal, constant, of few samples or far from the origin."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from torch import Tensor

from scoresweep.metrics import (
    Features,
    Options,
    energy,
    energy_distance,
    frechet_distance,
    frechet_infinity,
    gaussian_mmd,
    kid,
    mmd,
    sliced_wasserstein,
)
from scoresweep.metrics.energy import mean_distance
from scoresweep.metrics.rounding import at_least_zero

SHAPES = [(2, 1), (40, 3), (40, 40), (5, 300), (300, 64)]
"""Numbers of samples and features."""


def draw(count: int, dimension: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimension, generator=generator, dtype=torch.float64)


def sets(count: int, dimension: int) -> dict[str, Tensor]:
    x = draw(count, dimension)
    return {
        "normal": x,
        "rank one": x[:, :1] * torch.ones(dimension, dtype=torch.float64),
        "large": 1e3 * x,
        "far": 1e-3 * x + 100,
        "constant": torch.full_like(x, 0.1),
    }


@pytest.mark.parametrize(("count", "dimension"), SHAPES)
@pytest.mark.parametrize("kind", ["normal", "rank one", "large", "far", "constant"])
def test_distance_of_equal_sets_is_zero(count: int, dimension: int, kind: str) -> None:
    """The distance is zero up to rounding and never negative, also for another order."""
    x = sets(count, dimension)[kind]
    size = float((x - x.mean(dim=0)).square().sum(dim=1).mean())
    for y in (x.clone(), x.flip(0)):
        distance = frechet_distance(Features(x), Features(y))
        assert 0 <= distance <= 1e-11 * size
        assert 0 <= energy_distance(x, y) <= 1e-4 * size**0.25
        sliced = sliced_wasserstein(Features(x), Features(y), Options())["sliced_wasserstein"]
        assert 0 <= float(sliced.value) <= 1e-12 * (size**0.5 + float(x.norm(dim=1).max()))


@pytest.mark.parametrize(("count", "dimension"), SHAPES)
def test_distance_of_a_shifted_set_is_the_shift(count: int, dimension: int) -> None:
    """‖v‖² for Fréchet, and √(2‖v‖) for the energy distance of two points."""
    x, move = draw(count, dimension), draw(1, dimension, 1)
    square = float(move.square().sum())
    moved = frechet_distance(Features(x + 100), Features(x + 100 + move))
    assert moved == pytest.approx(square, rel=1e-9)
    one = torch.ones(count, dimension, dtype=torch.float64)
    assert frechet_distance(Features(one), Features(one + move)) == pytest.approx(square, rel=1e-12)
    expected = math.sqrt(2 * math.sqrt(square))
    assert energy_distance(one, one + move) == pytest.approx(expected, rel=1e-9)
    assert energy_distance(one[:1], one[:1] + move) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_agree_with_forty_digits() -> None:
    """tr (Σ₁Σ₂)^½ from the eigenvalues of R₁ᵀ-products; 4 and 3 samples of 6 features."""
    x, y = draw(4, 6), draw(3, 6, 1)
    with mpmath.workdps(40):
        factors, means = [], []
        for z in (x, y):
            rows = mpmath.matrix(z.tolist())
            mean = [sum(rows[i, j] for i in range(rows.rows)) / rows.rows for j in range(6)]
            centred = rows - mpmath.matrix([mean] * rows.rows)
            factors.append(centred / mpmath.sqrt(rows.rows - 1))
            means.append(mean)
        product = factors[0] * factors[1].T
        roots = mpmath.svd_r(product, compute_uv=False)
        spread = sum(mpmath.norm(factor, 2) ** 2 for factor in (*factors[0].tolist(),))
        spread += sum(mpmath.norm(factor, 2) ** 2 for factor in (*factors[1].tolist(),))
        gap = sum((a - b) ** 2 for a, b in zip(*means, strict=True))
        expected = float(gap + spread - 2 * sum(roots))
    assert frechet_distance(Features(x), Features(y)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_distances_do_not_depend_on_the_origin(offset: float) -> None:
    x, y = draw(60, 5), draw(50, 5, 1) + 0.3
    plain = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    assert mean_distance(x + offset, y + offset) == pytest.approx(float(plain.mean()), rel=1e-9)
    found = energy_distance(x + offset, y + offset)
    assert found == pytest.approx(energy_distance(x, y), rel=1e-6)
    assert gaussian_mmd(x + offset, y + offset, 2.0) == pytest.approx(
        gaussian_mmd(x, y, 2.0), rel=1e-8
    )


def test_unbiased_estimates_of_equal_sets_are_negative() -> None:
    """Of n equal points each, within − across: −(k̄₀ − k̄)·2/n with the diagonal k₀ left out."""
    x = draw(30, 4)
    kernel = torch.exp(-0.5 * (x[:, None] - x).square().sum(dim=2) / 2.0**2)
    expected = 2 * float((kernel.sum() - 30) / (30 * 29) - kernel.mean())
    assert expected < -1e-2
    assert gaussian_mmd(x, x, 2.0) == pytest.approx(expected, rel=1e-9)
    same = Features(x)
    for metric, name in ((kid, "kid"), (mmd, "mmd"), (frechet_infinity, "frechet_infinity")):
        measure = metric(same, same, Options(kid_subsets=1))[name]
        assert math.isfinite(float(measure.value))
        assert measure.minimum is None


def test_only_rounding_is_set_to_zero() -> None:
    assert at_least_zero(-1e-16, 1e-15) == 0
    assert at_least_zero(0.5, 1e-15) == 0.5
    assert math.isnan(at_least_zero(math.nan, 1e-15))
    with pytest.raises(ValueError, match=r"-0\.01"):
        at_least_zero(-0.01, 1e-15)


def test_overflow_does_not_become_zero() -> None:
    """Squares of 1e200 are infinite, and their difference is not a number."""
    x = 1e200 * draw(20, 2)
    assert math.isnan(energy_distance(x, x))
    assert not math.isfinite(
        float(energy(Features(x), Features(x), Options())["energy_distance"].value)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_converted_to_float64(dtype: torch.dtype) -> None:
    """Squares of 300 are infinite in float16, and means of 60 samples have 3 digits."""
    x, y = (300 * draw(60, 4, seed).to(dtype) for seed in (0, 1))
    half, full = (Features(x), Features(y)), (Features(x.double()), Features(y.double()))
    assert frechet_distance(*half) == pytest.approx(frechet_distance(*full), rel=1e-12)
    options = Options(kid_subsets=2, kid_subset_size=40)
    for metric in (energy, mmd, kid, sliced_wasserstein, frechet_infinity):
        found, expected = (metric(*sets, options) for sets in (half, full))
        for name, measure in expected.items():
            assert found[name].value == pytest.approx(measure.value, rel=1e-9)
