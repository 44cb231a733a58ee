from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import FrechetInceptionDistance

from scoresweep.metrics import Features, Options, features, frechet, frechet_distance


def gaussian(count: int, dimension: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    return noise @ mixing + seed


def test_two_gaussians_with_commuting_covariances() -> None:
    """With exact moments: |μ₁−μ₂|² + Σ (s₁−s₂)² for covariances that share their axes."""
    square = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    square = square * (3 / 4) ** 0.5  # unbiased variance 1 along each axis
    first = square * torch.tensor([2.0, 0.5]) + torch.tensor([1.0, -1.0])
    second = square * torch.tensor([0.25, 3.0]) + torch.tensor([4.0, 3.0])
    expected = (3**2 + 4**2) + (2 - 0.25) ** 2 + (0.5 - 3) ** 2
    assert frechet_distance(Features(first), Features(second)) == pytest.approx(expected, rel=1e-12)


def test_agrees_with_the_bures_wasserstein_distance() -> None:
    x, y = gaussian(400, 12, 1), gaussian(300, 12, 2)
    covariances = [np.cov(z.numpy().T) for z in (x, y)]
    means = [z.numpy().mean(0) for z in (x, y)]
    expected = ot.gaussian.bures_wasserstein_distance(*means, *covariances) ** 2
    assert frechet_distance(Features(x), Features(y)) == pytest.approx(expected, rel=1e-10)


class Projections(torch.nn.Module):
    """24 fixed, rectified projections of images."""

    num_features = 24

    def __init__(self) -> None:
        super().__init__()
        self.weight = gaussian(48, 24, 3).float()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1).float() @ self.weight / 100).relu()


def test_fid_agrees_with_torchmetrics() -> None:
    """uint8 images through a small module, 40 times as many as features."""
    draw = torch.Generator().manual_seed(0)
    first = torch.randint(0, 256, (1000, 3, 4, 4), dtype=torch.uint8, generator=draw)
    second = torch.randint(0, 200, (1000, 3, 4, 4), dtype=torch.uint8, generator=draw)
    module = Projections()
    theirs = FrechetInceptionDistance(module, normalize=False).set_dtype(torch.float64)
    theirs.update(first, real=True)
    theirs.update(second, real=False)
    ours = frechet_distance(Features(module(first)), Features(module(second)))
    assert ours > 1
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-4)


def test_agrees_with_eigenvalues_of_the_product_where_it_is_singular() -> None:
    """tr (Σ₁^½ Σ₂ Σ₁^½)^½ is the sum of the roots of the eigenvalues of Σ₁Σ₂; 9 samples of 12."""
    x, y = gaussian(400, 12, 1), gaussian(9, 12, 2)
    first, second = (np.cov(z.numpy().T) for z in (x, y))
    roots = np.linalg.eigvals(first @ second).real.clip(0) ** 0.5
    mean = float((x.mean(0) - y.mean(0)).square().sum())
    expected = mean + np.trace(first) + np.trace(second) - 2 * roots.sum()
    assert frechet_distance(Features(x), Features(y)) == pytest.approx(expected, rel=1e-6)


def test_no_digits_are_lost_where_the_covariance_is_singular() -> None:
    x = gaussian(50, 3, 1)
    padded = torch.cat([x, torch.zeros(50, 20, dtype=torch.float64)], dim=1)
    assert frechet_distance(Features(padded), Features(padded)) == pytest.approx(0, abs=1e-12)
    moved = padded + 0.5
    assert frechet_distance(Features(padded), Features(moved)) == pytest.approx(
        0.25 * 23, rel=1e-12
    )


@pytest.mark.parametrize("count", [9, 12, 100, 145, 400])
def test_the_covariance_is_that_of_numpy_block_by_block(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of 48 samples; float32 input, float64 output."""
    monkeypatch.setattr(features, "BLOCK", 10)
    x = gaussian(count, 12, 1).float()
    factor = Features(x).covariance_factor
    assert len(factor) == min(count, 12)
    np.testing.assert_allclose(factor.T @ factor, np.cov(x.double().numpy().T), rtol=1e-11)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(2, 40))
def test_symmetric_and_unchanged_by_a_rotation(seed: int, count: int) -> None:
    x, y = gaussian(30, 5, seed), gaussian(count, 5, seed + 1)
    turn = torch.linalg.qr(gaussian(5, 5, seed + 2)).Q
    distance = frechet_distance(Features(x), Features(y))
    assert frechet_distance(Features(y), Features(x)) == pytest.approx(distance, rel=1e-9)
    turned = frechet_distance(Features(x @ turn), Features(y @ turn))
    assert turned == pytest.approx(distance, rel=1e-9)


def test_too_few_samples_are_flagged_or_refused() -> None:
    real = Features(gaussian(50, 12, 0))
    assert frechet(real, Features(gaussian(13, 12, 1)), Options())["frechet"].note is None
    note = frechet(real, Features(gaussian(12, 12, 1)), Options())["frechet"].note
    assert note == "12 samples for 12 features: the covariance is singular"
    with pytest.raises(ValueError, match="2 samples or more, found 50 and 1"):
        frechet(real, Features(gaussian(1, 12, 1)), Options())


def test_takes_tensors_of_features_or_images() -> None:
    x, y = gaussian(60, 12, 1), gaussian(50, 12, 2)
    expected = frechet_distance(Features(x), Features(y))
    assert frechet_distance(x.reshape(60, 3, 2, 2), Features(y)) == expected
    assert frechet_distance(x, y.reshape(50, 1, 3, 4)) == expected
    for wrong in (x[0], x[:, :5]):
        with pytest.raises(ValueError, match="expected"):
            frechet_distance(wrong, y)
