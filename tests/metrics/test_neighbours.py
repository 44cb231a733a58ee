from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from scoresweep.metrics import (
    Features,
    Options,
    distances,
    nearest,
    nearest_distances,
    prdc,
    precision_recall_density_coverage,
)


def points(count: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, 4, generator=generator, dtype=torch.float64)


def reference_prdc(real: np.ndarray, generated: np.ndarray, k: int) -> tuple[float, ...]:
    """The definitions, point by point, on scikit-learn's distances."""

    def radii(x: np.ndarray) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]

    real_radii, own_radii = radii(real), radii(generated)
    distance = np.array([[np.linalg.norm(x - y) for y in generated] for x in real])
    inside = distance <= real_radii[:, None]
    precision = inside.any(axis=0).mean()
    recall = (distance <= own_radii[None]).any(axis=1).mean()
    return precision, recall, inside.sum() / (k * len(generated)), inside.any(axis=1).mean()


@pytest.mark.parametrize(("k", "count"), [(1, 40), (3, 70), (5, 60)])
def test_agrees_with_scikit_learn(k: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK", 500)
    real, generated = points(60, 0), points(count, 1, scale=0.7) + 0.2
    expected = reference_prdc(real.numpy(), generated.numpy(), k)
    assert 0 < expected[1] < 1
    found = precision_recall_density_coverage(real, generated, k)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_equal_sets_and_distant_sets() -> None:
    real = points(50, 0)
    precision, recall, density, coverage = precision_recall_density_coverage(real, real, 3)
    # Each ball holds its own point and its three neighbours.
    assert (precision, recall, density, coverage) == (1, 1, pytest.approx(4 / 3), 1)
    assert precision_recall_density_coverage(real, real + 100, 3) == (0, 0, 0, 0)


def test_the_larger_set_is_subsampled() -> None:
    many, few, options = Features(points(200, 0)), Features(points(30, 1)), Options(neighbours=3)
    some = many.subsample(30, options.seed)
    for real, generated, same in (
        (many, few, prdc(some, few, options)),
        (few, many, prdc(few, some, options)),
    ):
        measures = prdc(real, generated, options)
        assert {(m.n_real, m.n_generated) for m in measures.values()} == {(30, 30)}
        assert measures == same
        assert measures["precision"].value > 0.5
    with pytest.raises(ValueError, match="more samples than the 5 neighbours"):
        prdc(Features(points(200, 0)), Features(points(5, 1)), Options(neighbours=5))


def test_nearest_distances_agree_with_scikit_learn() -> None:
    x, data = points(30, 1), points(80, 0)
    expected, _ = NearestNeighbors(n_neighbors=3).fit(data.numpy()).kneighbors(x.numpy())
    np.testing.assert_allclose(nearest_distances(x, data, 3), expected, rtol=1e-9)


def test_means_over_samples_have_standard_errors() -> None:
    """The error of a mean is s/√n; the error of a share is never zero."""
    real, drawn = points(300, 0), points(60, 1)
    found = nearest(Features(real), Features(drawn), Options())
    values = nearest_distances(drawn, real, 1)[:, 0].numpy()
    assert found["nearest_distance"].error == pytest.approx(stats.sem(values))
    found = prdc(Features(real), Features(drawn + 100), Options(neighbours=3))
    assert found["precision"].value == 0
    assert found["precision"].error == pytest.approx((2 / 64 * 62 / 64 / 64) ** 0.5)
    found = prdc(Features(drawn[:, :1]), Features(drawn[:, :1]), Options(neighbours=1))
    # On a line a point lies in its own ball and in at most two more.
    near = np.abs(drawn[:, 0].numpy()[:, None] - drawn[:, 0].numpy())
    holders = (near <= np.sort(near, axis=0)[1]).sum(axis=1)
    assert found["density"].value == pytest.approx(holders.mean())
    assert found["density"].error == pytest.approx(stats.sem(holders))


def test_missing_points_are_infinitely_far() -> None:
    found = nearest_distances(points(3, 1), points(1, 0), 2)
    assert found.isfinite().tolist() == [[True, False]] * 3


def test_copies_are_memorised_and_fresh_samples_are_not() -> None:
    real, fresh = points(300, 0), points(100, 1)
    copies = real[:100] + 0.001
    found = nearest(Features(real), Features(torch.cat([copies, fresh])), Options())
    share = nearest(Features(real), Features(fresh), Options())["nearest_memorised"].value
    assert share < 0.06
    assert found["nearest_memorised"].value == pytest.approx((1 + share) / 2)
    assert nearest(Features(real), Features(copies), Options())[
        "nearest_distance"
    ].value == pytest.approx(0.002, rel=1e-6)
