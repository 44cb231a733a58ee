"""The published datasets, from the cache or the network."""

from __future__ import annotations

import os

import numpy as np
import pytest

from scoresweep.pipeline.data.sources.cifar10 import read_cifar10
from scoresweep.pipeline.data.sources.mnist import read_fashion_mnist, read_mnist
from scoresweep.pipeline.errors import InputError

# Mean and standard deviation of the training pixels, and the first ten labels, as published.
DATASETS = {
    "mnist": (read_mnist, [0.1307], [0.3081], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]),
    "fashion_mnist": (read_fashion_mnist, [0.2860], [0.3530], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]),
    "cifar10": (
        read_cifar10,
        [0.4914, 0.4822, 0.4465],
        [0.2470, 0.2435, 0.2616],
        [6, 9, 9, 4, 1, 1, 2, 7, 8, 3],
    ),
}


@pytest.mark.download
@pytest.mark.parametrize("name", DATASETS)
def test_the_published_data(name):
    read, mean, deviation, first = DATASETS[name]
    try:
        staged = read()
    except InputError as error:
        if not str(error).startswith("cannot get the files"):
            raise
        if os.environ.get("SCORESWEEP_DOWNLOAD_TESTS") == "require":
            pytest.fail(f"SCORESWEEP_DOWNLOAD_TESTS=require: {error}")
        pytest.skip(str(error))
    images = staged.train.values
    assert (len(images), len(staged.test.values)) == (
        50_000 if name == "cifar10" else 60_000,
        10_000,
    )
    assert staged.train.labels[:10].tolist() == first
    assert set(np.unique(staged.test.labels)) == set(range(10))
    assert len(staged.train.class_names) == 10
    axes = (0, 1, 2)
    np.testing.assert_allclose(images.mean(axes) / 255, mean, atol=6e-5)
    np.testing.assert_allclose(images[:20_000].std(axes) / 255, deviation, atol=4e-3)
