from __future__ import annotations

import pytest
import torch

from scoresweep.metrics import Features, Options, shapes
from scoresweep.metrics.shape_masks import masks
from scoresweep.metrics.shape_shares import likeliest_shape, mass_outside


def pictures(classes: torch.Tensor, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(len(classes), 784, generator=torch.Generator().manual_seed(seed))
    return noise * masks().flatten(1)[classes]


def test_images_are_assigned_to_their_shape() -> None:
    """Also with noise, and darker or brighter than the data."""
    classes = torch.arange(5).repeat(40)
    x = pictures(classes)
    draw = torch.Generator().manual_seed(1)
    for seen in (x, 0.7 * x, 1.4 * x, (x + 0.15 * torch.randn(x.shape, generator=draw)).clamp(0)):
        assert torch.equal(likeliest_shape(seen), classes)


def test_assignment_is_least_squares_with_the_mean_images() -> None:
    x = torch.rand(50, 784, generator=torch.Generator().manual_seed(2))
    squares = torch.cdist(x, masks().flatten(1) / 2.0)
    assert torch.equal(likeliest_shape(x), squares.argmin(dim=1))


def test_shares_errors_and_mass_outside() -> None:
    classes = torch.tensor([0, 0, 0, 1, 2, 2, 4, 4, 4, 4])
    x = pictures(classes)
    asked = torch.tensor([0.2, 0.2, 0.2, 0.2, 0.2], dtype=torch.float64)
    found = shapes(Features(x), Features(x), Options(shares=asked))
    assert found["shape_share"].value.tolist() == pytest.approx([0.3, 0.1, 0.2, 0, 0.4])
    assert found["shape_error"].value == pytest.approx(0.3)
    assert found["shape_mass_outside"].value == 0
    assert found["shape_asked"].depends_on_data_only


def test_mass_outside_of_a_uniform_image_is_the_area_outside() -> None:
    for shape, mask in enumerate(masks()):
        area = float(mask.float().mean())
        assert mass_outside(torch.full((3, 784), 0.2), torch.full((3,), shape)) == pytest.approx(
            1 - area
        )
    assert mass_outside(torch.zeros(1, 784), torch.tensor([0])) == 0


def test_other_data_are_refused() -> None:
    drawn = Features(torch.zeros(3, 784))
    with pytest.raises(ValueError, match="shapes"):
        shapes(drawn, drawn, Options())
