"""What datasets have in common that are drawn and not fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.split import Split

__all__ = ["draw_splits"]


def draw_splits(
    split: Callable[[int, np.random.RandomState], Split],
    what: str,
    train_count: int,
    test_count: int,
    seed: int,
    attributes: dict[str, Any] | None = None,
) -> LoadedDataset:
    """Draw a training and a test set, independent of each other and functions of the seed.

    `split` draws so many samples from a source of random numbers. That is numpy's `RandomState`,
    whose stream is frozen for good.
    """
    train = split(train_count, np.random.RandomState([seed, 0]))
    test = split(test_count, np.random.RandomState([seed, 1]))
    about = f"{what}, drawn by scoresweep with the seed {seed}"
    return LoadedDataset(train, test, about, "CC0 1.0", attributes=attributes or {})
