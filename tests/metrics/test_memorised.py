"""Copies of training samples are detected, also if these are duplicated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from scoresweep.metrics import Features, Options, nearest, nearest_distances
from scoresweep.metrics.memorised import find_copies, without_duplicates

DIMENSION, SPACING = 8, 1.5
"""Number of features; also near the median distance of 600 normal points to their neighbours."""


def draw(count: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, DIMENSION, generator=generator)


def memorised(real: Tensor, generated: Tensor) -> float:
    return float(nearest(Features(real), Features(generated), Options())["nearest_memorised"].value)


REAL, FRESH = draw(600, 0), draw(400, 1)
NEAR = 0.02 * SPACING / DIMENSION**0.5
"""Deviation of a feature of near duplicates: 2% of the distance to other samples."""


@pytest.mark.parametrize("times", [1, 2, 3, 12])
@pytest.mark.parametrize("off", [0.0, NEAR])
def test_copies_of_repeated_samples_are_copies(times: int, off: float) -> None:
    real = REAL.repeat(times, 1)
    assert memorised(real, REAL + draw(600, 2, off)) == 1
    # Fresh samples count as memorised no more often than without duplicates.
    assert memorised(real, FRESH) == memorised(REAL, FRESH)


@pytest.mark.parametrize("times", [2, 3, 4])
@pytest.mark.parametrize("off", [0.0, NEAR])
def test_copies_of_near_duplicates_are_copies(times: int, off: float) -> None:
    real = torch.cat([REAL + draw(600, 3 + i, NEAR) for i in range(times)])
    assert memorised(real, REAL + draw(600, 2, off)) > 0.98
    assert memorised(real, FRESH) < 0.01


def test_exact_and_near_duplicates_of_one_sample_count_together() -> None:
    real = torch.cat([REAL, REAL, REAL + draw(600, 3, NEAR)])
    assert memorised(real, REAL + draw(600, 2, NEAR)) > 0.98


@pytest.mark.parametrize("dimension", [2, 4, 8])
def test_without_duplicates_it_is_the_published_criterion(dimension: int) -> None:
    """Nearest over second nearest at most 1/3, from scikit-learn's distances: (1/3)ᵈ by chance."""
    real, fresh = REAL[:, :dimension], FRESH[:, :dimension]
    found = NearestNeighbors(n_neighbors=2).fit(real.numpy()).kneighbors(fresh.numpy())[0]
    expected = float(np.mean(found[:, 0] <= found[:, 1] / 3))
    assert memorised(real, fresh) == pytest.approx(expected, abs=1.01 / 400)
    assert expected == pytest.approx(3.0**-dimension, abs=0.03)


def test_clusters_of_more_samples_are_not_duplicates() -> None:
    """Five points within a tenth of a percent: a sixth point is not a copy of any of them."""
    centres, width = 100 * draw(40, 0), 1e-3
    real = torch.cat([centres + draw(40, i, width) for i in range(1, 6)])
    assert memorised(real, centres + draw(40, 9, width)) < 0.05
    assert memorised(real, real + draw(200, 10, 0.02 * width)) == 1


def test_each_sample_is_kept_once() -> None:
    zeros = torch.tensor([[1.0, 0.0], [1.0, -0.0], [2.0, 0.0], [1.0, 0.0]])
    assert without_duplicates(zeros).tolist() == [[1, 0], [2, 0]]
    assert without_duplicates(REAL) is REAL
    with pytest.raises(ValueError, match="2 different samples or more, found 1"):
        nearest(Features(torch.ones(5, 3)), Features(REAL[:, :3]), Options())


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.cat([REAL, REAL + draw(600, 3, NEAR)])
    x = torch.cat([REAL + draw(600, 2, NEAR), FRESH])
    found, distance = find_copies(x, real)
    assert 0.55 < found.double().mean() < 0.61
    for module in ("distances", "memorised"):
        monkeypatch.setattr(f"scoresweep.metrics.{module}.BLOCK", 20_000)
    again, same = find_copies(x, real)
    assert torch.equal(again, found)
    # Blocks of another size add in another order: the rounding of |x|² ≈ 8 in d² ≥ 1e-4.
    torch.testing.assert_close(same, distance, rtol=1e-10, atol=0)


def test_distances_far_from_the_origin_are_exact() -> None:
    """Norms of 1e16 and squared distances of 1; a point has distance 0 to itself."""
    real = REAL.double()
    expected = nearest_distances(FRESH, real, 3)
    found = nearest_distances(FRESH.double() + 1e8, real + 1e8, 3)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert nearest_distances(REAL + 5, REAL + 5, 1).max() == 0
