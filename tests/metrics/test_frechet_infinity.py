from __future__ import annotations

import numpy as np
import pytest
import torch

from scoresweep.metrics import Features, Options, frechet_distance, frechet_infinity
from scoresweep.metrics.features import Moments
from scoresweep.metrics.frechet_infinity import _Distances, intercept_weights, subset_sizes

WIDTHS = torch.logspace(0, -1, 16, dtype=torch.float64)
TRUTH = 0.2**2 + float((0.2 * WIDTHS).square().sum())
"""Distance of N(0, s²) and N((0.2, 0, …), (1.2 s)²) in sixteen dimensions."""


def gaussian(
    count: int, generator: torch.Generator, scale: float = 1, shift: float = 0
) -> Features:
    drawn = torch.randn(count, 16, generator=generator, dtype=torch.float64)
    x = scale * WIDTHS * drawn
    x[:, 0] += shift
    return Features(x)


def test_extrapolation_reduces_bias_with_a_correct_error() -> None:
    """The mean over 60 sets of 200 samples; both errors are known to a tenth."""
    draw = torch.Generator().manual_seed(0)
    real = gaussian(200_000, draw)
    plain, infinite, errors = [], [], []
    for index in range(60):
        generated = gaussian(200, draw, 1.2, 0.2)
        plain.append(frechet_distance(real, generated))
        found = frechet_infinity(real, generated, Options(resamplings=20, seed=index))
        infinite.append(found["frechet_infinity"].value)
        errors.append(found["frechet_infinity"].error)
    scatter = np.std(infinite, ddof=1)
    # By the formula 1.1995 of it; the two are of the same sets, so that their ratio is known well.
    assert scatter / np.std(plain, ddof=1) == pytest.approx(1.2, rel=0.1)
    assert np.mean(plain) - TRUTH > 8 * np.std(plain) / 60**0.5
    assert abs(np.mean(infinite) - TRUTH) < 3 * scatter / 60**0.5
    assert np.mean(errors) == pytest.approx(scatter, rel=0.25)


def test_the_line_agrees_with_numpy() -> None:
    sizes = subset_sizes(1000, 16)
    assert (sizes[0], sizes[-1], len(sizes)) == (100, 1000, 15)
    values = np.random.default_rng(0).normal(size=15)
    _, intercept = np.polyfit(1 / sizes, values, 1)
    assert intercept_weights(sizes) @ values == pytest.approx(intercept, rel=1e-9)
    assert [int(subset_sizes(1000, d)[0]) for d in (64, 400)] == [256, 500]


@pytest.mark.parametrize(("count", "size"), [(10, 6), (60, 10), (60, 40)])
def test_distances_of_subsets(count: int, size: int) -> None:
    """More and fewer samples than features; the value is the line through these."""
    draw = torch.Generator().manual_seed(1)
    real, generated = gaussian(50, draw), gaussian(count, draw, 1.2, 0.2)
    index = torch.randperm(count, generator=draw)[:size]
    found = float(_Distances(real, generated)(index))
    assert found == pytest.approx(frechet_distance(real, generated[index]), rel=1e-9)


def test_notes_and_errors_name_the_sample_numbers() -> None:
    draw = torch.Generator().manual_seed(2)
    real = gaussian(50, draw)
    enough, few = (
        frechet_infinity(real, gaussian(count, draw), Options())["frechet_infinity"]
        for count in (128, 120)
    )
    assert enough.note is None
    assert enough.error is None
    assert few.note is not None
    assert few.note.startswith("120 samples for 16 features: ")
    singular = "16 real samples for 16 features: their covariance is singular"
    for count, notes in ((128, [singular]), (120, [few.note, singular])):
        found = frechet_infinity(gaussian(16, draw), gaussian(count, draw), Options())
        assert found["frechet_infinity"].note == "; ".join(notes)
    moments = Moments(real.mean, real.covariance_factor)
    for options in (Options(), Options(real_statistics=moments)):
        with pytest.raises(ValueError, match=r"30 generated samples or more, found 29$"):
            frechet_infinity(real, gaussian(29, draw), options)
    with pytest.raises(ValueError, match=r"2 real samples or more, found 1$"):
        frechet_infinity(gaussian(1, draw), gaussian(30, draw), Options())
