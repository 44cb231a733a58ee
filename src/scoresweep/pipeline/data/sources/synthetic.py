"""Draw the splits of synthetic datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.split import Split

__all__ = ["draw_splits"]


def draw_splits(
    split: Callable[[int, np.random.RandomState], Split],
    description: str,
    train_count: int,
    test_count: int,
    seed: int,
    attributes: dict[str, Any] | None = None,
) -> LoadedDataset:
    """Draw independent training and test sets from one seed.

    `split(count, random)` draws samples. `random` is a `RandomState`, since its stream never
    changes between versions of numpy.
    """
    train = split(train_count, np.random.RandomState([seed, 0]))
    test = split(test_count, np.random.RandomState([seed, 1]))
    source = f"{description}, drawn by scoresweep with the seed {seed}"
    return LoadedDataset(train, test, source, "CC0 1.0", attributes=attributes or {})
