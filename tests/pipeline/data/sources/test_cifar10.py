from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scoresweep.pipeline.data.sources.cifar10 import read_binary_batch, read_png_batch
from scoresweep.pipeline.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
LABELS = np.array([3, 8, 0, 9, 1, 1])


def test_binary_and_png_batches_are_equal(tmp_path):
    records = [
        bytes([label]) + b"".join(image[..., channel].tobytes() for channel in range(3))
        for image, label in zip(IMAGES, LABELS, strict=True)
    ]
    (tmp_path / "batch.bin").write_bytes(b"".join(records))
    Image.fromarray(IMAGES.reshape(6, 1024, 3)).save(tmp_path / "batch.png")
    images, labels = read_binary_batch(tmp_path / "batch.bin")
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(read_png_batch(tmp_path / "batch.png"), IMAGES)


def test_a_truncated_batch(tmp_path):
    (tmp_path / "batch.bin").write_bytes(bytes(3073 + 5))
    with pytest.raises(InputError, match="3,073"):
        read_binary_batch(tmp_path / "batch.bin")
