from __future__ import annotations

import numpy as np
import pytest

from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.stratify import stratified_split, stratified_subset


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("sizes", [(50, 50), (7, 90, 3), (1, 1, 1)])
def test_every_class_gives_its_share(sizes, fraction):
    labels = np.repeat(np.arange(len(sizes)) * 10, sizes)
    values = np.arange(len(labels), dtype=np.float32)[:, None]
    train, test = stratified_split(Split(values, labels), fraction)
    assert len(test.values) == np.ceil(sum(sizes) * fraction)
    both = np.concatenate([train.values, test.values])
    np.testing.assert_array_equal(np.sort(both, axis=0), values)
    for label, size in zip(np.unique(labels), sizes, strict=True):
        assert abs((test.labels == label).sum() - size * fraction) < 1
    for split in (train, test):
        np.testing.assert_array_equal(split.labels, labels[split.values[:, 0].astype(int)])


def test_without_labels_and_the_same_every_time():
    values = np.arange(1000, dtype=np.float32)[:, None]
    first, second = stratified_split(Split(values), 0.1), stratified_split(Split(values), 0.1)
    assert len(first[1].values) == 100
    np.testing.assert_array_equal(first[0].values, second[0].values)


def test_both_splits_begin_with_all_classes():
    labels = np.repeat(np.arange(10), 180)
    train, test = stratified_split(Split(labels.astype(np.float32)[:, None], labels), 0.2)
    for split in (train, test):
        for part in (split.labels[:50], split.labels[-50:]):
            assert np.bincount(part, minlength=10).max() <= 14
            assert len(np.unique(part)) >= 9


@pytest.mark.parametrize("count", [3, 4, 10, 30, 59, 60, 100])
def test_a_subset_keeps_class_shares(count):
    labels = np.repeat([0, 5, 9], [40, 15, 5])
    values = np.arange(60.0, dtype=np.float32)[:, None]
    subset = stratified_subset(Split(values, labels), count)
    found = np.bincount(subset.labels, minlength=10)[[0, 5, 9]]
    assert found.sum() == min(count, 60)
    assert (found >= 1).all()
    share = min(count, 60) * np.array([40, 15, 5]) / 60
    assert (abs(found - share) < 1.7).all()
    for label, start, size in ((0, 0, 40), (5, 40, 15), (9, 55, 5)):
        own = subset.values[subset.labels == label, 0]
        assert own.tolist() == list(range(start, start + len(own)))
        assert len(own) <= size
    np.testing.assert_array_equal(subset.values, np.sort(subset.values, axis=0))


def test_a_subset_without_classes_is_the_first_samples():
    values = np.arange(6.0, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(stratified_subset(Split(values), 4).values, values[:4])
