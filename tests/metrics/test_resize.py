from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scoresweep.metrics.extractors.resize import antialias, half_pixel, tf1


def row(*values: float) -> Tensor:
    """Return a square image whose rows are all `values`."""
    return torch.tensor(values).float().expand(1, 1, len(values), len(values))


# Position of pixel i of the result: i · 2/4 against (i + ½) · 2/4 - ½.
@pytest.mark.parametrize(
    ("resize", "larger", "smaller"),
    [
        (tf1, [0, 5, 10, 10], [0, 20]),
        (half_pixel, [0, 2.5, 7.5, 10], [5, 25]),
        (antialias, [0, 2.5, 7.5, 10], [50 / 7, 160 / 7]),
    ],
)
def test_values_by_hand(resize, larger, smaller) -> None:
    assert resize(row(0, 10), 4)[0, 0, 2].tolist() == pytest.approx(larger)
    # A triangle two pixels of the result wide weighs the first pixels 3, 3, 1.
    assert resize(row(0, 10, 20, 30), 2)[0, 0, 1].tolist() == pytest.approx(smaller)
    assert torch.equal(resize(row(3, 7, 5), 3), row(3, 7, 5))


def tf1_pixel_by_pixel(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear without half-pixel centres, pixel by pixel."""
    height, width = image.shape
    found = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            y, x = i * height / size, j * width / size
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            v, h = y - top, x - left
            found[i, j] = (1 - v) * ((1 - h) * image[top, left] + h * image[top, right]) + v * (
                (1 - h) * image[bottom, left] + h * image[bottom, right]
            )
    return found


@pytest.mark.parametrize(("shape", "size"), [((8, 8), 29), ((7, 11), 13), ((40, 31), 9)])
def test_tf1_pixel_by_pixel(shape, size) -> None:
    images = 255 * torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    found = tf1(images, size)
    expected = tf1_pixel_by_pixel(images[1, 2].numpy(), size)
    np.testing.assert_allclose(found[1, 2].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (40, 31)])
def test_antialias_is_pillow(shape) -> None:
    image = 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    expected = Image.fromarray(image.numpy()).resize((17, 17), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(antialias(image[None, None], 17)[0, 0], expected, atol=1e-3)
