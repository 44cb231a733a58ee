"""Distances between sets of features, against other libraries and closed forms."""

from __future__ import annotations

import math

import ot
import pytest
import torch
from scipy import stats
from scipy.spatial import distance
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor

from scoresweep.metrics import (
    Features,
    Options,
    energy,
    energy_distance,
    gaussian_mmd,
    mmd,
    sliced_wasserstein,
    sliced_wasserstein_distance,
)
from scoresweep.metrics.mmd import median_distance

LINE = torch.ones(1, 1, dtype=torch.float64)
"""The only direction in one dimension."""


def pair(n: int, m: int, dimension: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(n + m)
    x = torch.randn(n, dimension, generator=draw, dtype=torch.float64)
    return x, 1.5 * torch.randn(m, dimension, generator=draw, dtype=torch.float64) + 0.4


@pytest.mark.parametrize(("n", "m"), [(40, 40), (60, 25), (7, 31)])
def test_one_dimension_agrees_with_scipy(n: int, m: int) -> None:
    x, y = pair(n, m)
    ours = sliced_wasserstein_distance(x, y, LINE, p=1)
    assert ours == pytest.approx(stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-12)
    theirs = stats.energy_distance(x[:, 0], y[:, 0])
    assert energy_distance(x, y) == pytest.approx(theirs, rel=1e-6)


def test_slices_agree_with_pot() -> None:
    x, y = pair(50, 35, dimension=4)
    directions = torch.nn.functional.normalize(pair(20, 1, dimension=4)[0])
    for p in (1, 2):
        theirs = ot.sliced_wasserstein_distance(x, y, projections=directions.T, p=p)
        ours = sliced_wasserstein_distance(x, y, directions, p)
        assert ours == pytest.approx(float(theirs), rel=1e-9)


def test_sliced_wasserstein_of_gaussians() -> None:
    """SW₂² of N(a, s²I) and N(b, t²I) is ‖a−b‖²/D + (s−t)²: E(θ·v)² = ‖v‖²/D."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 3, generator=draw)
    y = 2 * torch.randn(20_000, 3, generator=draw) + torch.tensor([3.0, 0.0, 0.0])
    found = sliced_wasserstein(Features(x), Features(y), Options())["sliced_wasserstein"]
    # 128 directions: (θ·v)² has the relative deviation √(4/5) for D = 3.
    assert found.value == pytest.approx(2.0, abs=3 * 0.5 * 3 / 4 * math.sqrt(0.8 / 128))
    assert found.n_real == 10_000


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_mmd_of_gaussians(width: float) -> None:
    """E k(X, Y) of N(a, s²), N(b, t²) is h/√(h²+s²+t²) exp(−(a−b)²/2(h²+s²+t²)) in a dimension."""

    def kernel(gap: float, spread: float) -> float:
        total = width**2 + spread
        return (width / math.sqrt(total) * math.exp(-(gap**2) / (2 * total))) ** 2

    expected = kernel(0, 2) + kernel(0, 2 * 2.25) - 2 * kernel(0.4, 1 + 2.25)
    found = [gaussian_mmd(*pair(n, 400, dimension=2), width) for n in range(400, 420)]
    values = torch.tensor(found)
    assert float(values.mean()) == pytest.approx(expected, abs=3 * float(values.std()) / 20**0.5)
    assert float(values.std()) < 0.3 * expected


def test_sets_of_any_dimension_agree_with_scipy_and_scikit_learn() -> None:
    """Energy distance from all pairs; MMD² from scikit-learn's kernel without its diagonal."""
    x, y = pair(40, 25, dimension=30)
    across, *within = (distance.cdist(a, b).mean() for a, b in ((x, y), (x, x), (y, y)))
    assert energy_distance(x, y) == pytest.approx((2 * across - sum(within)) ** 0.5, rel=1e-9)
    kernels = [rbf_kernel(a, b, gamma=1 / (2 * 5.0**2)) for a, b in ((x, y), (x, x), (y, y))]
    same = sum((k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in kernels[1:])
    assert gaussian_mmd(x, y, 5.0) == pytest.approx(same - 2 * kernels[0].mean(), rel=1e-9)


def test_mmd_is_unbiased_with_the_width_of_the_real_samples() -> None:
    """The mean over independent pairs from one distribution is zero within three errors."""
    draw = torch.Generator().manual_seed(0)
    draws = torch.randn(2, 300, 8, 2, generator=draw, dtype=torch.float64)
    values = torch.tensor([gaussian_mmd(x, y, 1.0) for x, y in zip(*draws, strict=True)])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5
    assert median_distance(torch.tensor([[0.0], [1.0], [3.0]])) == 2
    x, y = pair(50, 30, dimension=2)
    measured = mmd(Features(x), Features(y), Options())["mmd"]
    width = float(torch.pdist(x).median())
    assert measured.value == pytest.approx(gaussian_mmd(x, y, width))
    scaled = mmd(Features(100 * x), Features(100 * y), Options())["mmd"]
    assert scaled.value == pytest.approx(float(measured.value))


def test_mmd_raises_for_too_few_or_equal_samples() -> None:
    x, y = pair(5, 1)
    with pytest.raises(ValueError, match="2 samples or more, found 5 and 1"):
        gaussian_mmd(x, y, 1.0)
    with pytest.raises(ValueError, match="median distance between real samples is zero"):
        mmd(Features(torch.ones(5, 2)), Features(x), Options())


def test_large_sets_are_subsampled_and_counted() -> None:
    x, y = pair(2500, 2300)
    for measure in (energy(Features(x), Features(y), Options())["energy_distance"],):
        assert (measure.n_real, measure.n_generated) == (2000, 2000)
        # D² of N(0, s²) and N(b, t²) from E|Z| = √(2/π) s·exp(−b²/2s²) + b·erf(b/√2s).
        v = math.sqrt(3.25)
        mean = math.sqrt(2 / math.pi) * v * math.exp(-0.16 / (2 * v**2))
        mean += 0.4 * math.erf(0.4 / (math.sqrt(2) * v))
        square = 2 * mean - 2 / math.sqrt(math.pi) - 3 / math.sqrt(math.pi)
        assert float(measure.value) ** 2 == pytest.approx(square, rel=0.25)
