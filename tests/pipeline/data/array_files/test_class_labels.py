"""Encoding of labels as classes 0 to K−1 with names."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from scoresweep.pipeline.data.array_files.class_labels import encode_labels
from scoresweep.pipeline.data.sources.arrays import read_array
from scoresweep.pipeline.errors import InputError

RANDOM = np.random.default_rng(0)
PATH = "a.npz"


def classes(*labels, names=None):
    splits = {f"labels{i}": np.asarray(part) for i, part in enumerate(labels)}
    found, names = encode_labels(PATH, splits, names)
    return [part.tolist() for part in found.values()], names


@pytest.mark.parametrize(
    ("labels", "expected", "names"),
    [
        ([0, 2_000_000, 0], [0, 1, 0], ["0", "2000000"]),
        ([2**40, 5, 2**40], [1, 0, 1], ["5", str(2**40)]),
        (np.array([2**64 - 1, 1], np.uint64), [1, 0], ["1", str(2**64 - 1)]),
        ([-1, 3, -100], [1, 2, 0], ["-100", "-1", "3"]),
        (np.array([200, 3], np.uint8), [1, 0], ["3", "200"]),
        ([True, False], [1, 0], ["False", "True"]),
        (["dog", "cat", "dog"], [1, 0, 1], ["cat", "dog"]),
        ([b"dog", b"c\xc3\xa4t"], [1, 0], ["cät", "dog"]),
        (np.array(["dog", b"cat"], object), [1, 0], ["cat", "dog"]),
        ([1.0, 3.0, 1.0], [0, 1, 0], ["1", "3"]),
        ([[4], [2]], [1, 0], ["2", "4"]),
        ([[0, 0, 1], [1, 0, 0]], [1, 0], ["0", "2"]),
        ([[0.0, 1.0], [1.0, 0.0]], [1, 0], ["0", "1"]),
    ],
)
def test_labels_of_any_kind(labels, expected, names):
    assert classes(labels) == ([expected], names)


def test_splits_share_their_classes():
    assert classes([3, 7], np.array([7, 9], np.uint64)) == ([[0, 1], [1, 2]], ["3", "7", "9"])
    assert classes([5, 2**40], [2**40]) == ([[0, 1], [1]], ["5", str(2**40)])


def test_given_names_are_positions():
    assert classes([2, 0], names=["a", "b", "c"]) == ([[2, 0]], ["a", "b", "c"])
    assert classes(["c", "a"], names=["c", "b", "a"]) == ([[0, 2]], ["c", "b", "a"])
    for wrong in ([3], [-1], ["d"]):
        with pytest.raises(InputError, match=f"class_names .*labels {wrong[0]}"):
            classes(wrong, names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("labels", "where"),
    [
        ([0.0, 0.5, 1.0], "0.5 at sample 1"),
        ([0.0, 1.0, np.nan], "nan at sample 2"),
        ([1.0, np.inf], "inf at sample 1"),
        ([[0, 1], [1, 1]], "sample 1"),
        ([[0, 1], [0, 0]], "sample 1"),
        ([[0.3, 0.7], [1, 0]], "sample 0"),
        (np.array(["2020", "2021"], "M8[Y]"), "datetime64"),
        (np.array([1j, 2]), "complex"),
        (np.array([None, "a"], object), "Python objects"),
        (np.zeros((3, 2, 2), int), r"\(3, 2, 2\)"),
    ],
)
def test_invalid_labels(labels, where):
    with pytest.raises(InputError, match=f"labels0 .*{where}"):
        classes(labels)


def test_labels_of_different_types():
    with pytest.raises(InputError, match="text"):
        classes([1, 2], ["1", "2"])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, float])
def test_no_second_copy_in_memory(tmp_path, dtype):
    points = RANDOM.normal(size=(100, 2))
    labels = (np.arange(100) % 3).astype(dtype) * 2**40
    np.savez(tmp_path / PATH, x=points, y=labels)
    tracemalloc.start()
    staged = read_array(tmp_path / PATH)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
    assert staged.train.class_names == ["0", str(2**40), str(2**41)]
    for split in (staged.train, staged.test):
        for point, label in zip(split.values, split.labels, strict=True):
            index = np.flatnonzero((points.astype(np.float32) == point).all(1))[0]
            assert label == index % 3


def test_labels_with_axes_of_length_one():
    """As in PatchCamelyon: (N, 1, 1, 1)."""
    assert classes(np.array([7, 2, 7]).reshape(3, 1, 1, 1)) == ([[1, 0, 1]], ["2", "7"])
