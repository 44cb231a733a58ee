"""Subsets in which every class keeps its share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scoresweep.pipeline.data.split import Split

__all__ = ["stratified_split", "stratified_subset"]


def stratified_split(samples: Split, fraction: float) -> tuple[Split, Split]:
    """Shuffle samples and split them into train and test, with ⌈N·fraction⌉ samples in test.

    With labels, each class contributes its share (largest remainders first). The result depends
    only on N, the labels and the fraction.
    """
    count = len(samples.values)
    test_count = int(np.ceil(count * fraction))
    # RandomState's stream never changes; that of numpy's newer generators may.
    random = np.random.RandomState(0)
    order = random.permutation(count)
    labels = np.zeros(count, np.int64) if samples.labels is None else samples.labels
    classes, sizes, ranks = _ranks_in_class(labels[order])
    share = sizes * fraction
    quota = np.floor(share).astype(np.int64)
    missing = test_count - quota.sum()
    quota[np.argsort(quota - share, kind="stable")[:missing]] += 1
    is_test = np.empty(count, bool)
    is_test[order] = ranks < quota[classes]
    # A second shuffle: in the first order, classes with a small quota come early in test.
    order = random.permutation(count)
    return samples.take(order[~is_test[order]]), samples.take(order[is_test[order]])


def stratified_subset(samples: Split, count: int) -> Split:
    """Return `count` samples in their order, the first ones of each class.

    Each class contributes its share, rounded, and at least one sample if `count` allows.
    """
    total = len(samples.values)
    if samples.labels is None or count >= total:
        return samples.first(count)
    classes, sizes, ranks = _ranks_in_class(samples.labels)
    # The k-th of n samples gets the position (k + 1/2)/n; the first of each class comes first.
    position = np.where(ranks == 0, 0.0, 1 + (ranks + 0.5) / sizes[classes])
    return samples.take(np.sort(np.argsort(position, kind="stable")[:count]))


def _ranks_in_class(
    labels: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each sample's class index, each class's size, and each sample's rank in its class."""
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return classes, sizes, ranks
