"""What a reader of a dataset returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scoresweep.pipeline.data.file_hashes import hash_files
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError

__all__ = [
    "VALIDATION_IS_TEST",
    "LoadedDataset",
    "of_every_class",
    "staged_own",
    "stratified_split",
]

VALIDATION_IS_TEST = "has no test part; its validation part is taken for it"
"""What every reader says, and does, if there are a training and a validation part only."""


@dataclass(frozen=True)
class LoadedDataset:
    """A dataset that has been read and checked."""

    train: Split
    test: Split
    source: str
    """Where it came from, for people."""
    licence: str
    """The terms that it is published under, for people."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every source file."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """What else the store's root is to tell, as plain values."""


def stratified_split(whole: Split, fraction: float) -> tuple[Split, Split]:
    """Cut one set into train and test, shuffled, with ⌈N·fraction⌉ samples in test.

    With labels, every class gives its share (largest remainders first). The cut depends on nothing
    but N, the labels and the fraction.
    """
    count = len(whole.values)
    aside = int(np.ceil(count * fraction))
    # The stream of RandomState is frozen for good; that of numpy's newer generators may change.
    random = np.random.RandomState(0)
    order = random.permutation(count)
    labels = np.zeros(count, np.int64) if whole.labels is None else whole.labels
    _, classes, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
    share = sizes * fraction
    quota = np.floor(share).astype(np.int64)
    missing = aside - quota.sum()
    quota[np.argsort(quota - share, kind="stable")[:missing]] += 1
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_class] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    is_test = np.empty(count, bool)
    is_test[order] = rank < quota[classes]
    # Shuffled anew: in the first order, classes whose share is full early come late in test.
    order = random.permutation(count)
    return _take(whole, order[~is_test[order]]), _take(whole, order[is_test[order]])


def staged_own(path: Path, splits: Mapping[str, Split], test_fraction: float) -> LoadedDataset:
    """Return a user's own data; without a test split, `test_fraction` of train is set aside.

    Raises `InputError` if the samples of the splits differ in shape.
    """
    train = splits["train"]
    train, test = (
        (train, splits["test"]) if "test" in splits else stratified_split(train, test_fraction)
    )
    if train.shape != test.shape:
        raise InputError(
            f"{path}: samples of train have the shape {train.shape}, those of test {test.shape}."
        )
    return LoadedDataset(train, test, str(path), "your own", hash_files(path))


def of_every_class(split: Split, count: int) -> Split:
    """Return `count` samples, the first ones of each class, in their order.

    A class gives its share, rounded, and at least one if there are as many samples as classes.
    """
    total = len(split.values)
    if split.labels is None or count >= total:
        return split.first(count)
    _, classes, sizes = np.unique(split.labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(total, np.int64)
    rank[by_class] = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # The k-th sample of a class of n stands at (k + 1/2)/n, the first of each before all others.
    place = np.where(rank == 0, 0.0, 1 + (rank + 0.5) / sizes[classes])
    return _take(split, np.sort(np.argsort(place, kind="stable")[:count]))


def _take(split: Split, index: npt.NDArray[np.int64]) -> Split:
    labels = None if split.labels is None else split.labels[index]
    return Split(split.values[index], labels, split.pixel_range, split.class_names)
