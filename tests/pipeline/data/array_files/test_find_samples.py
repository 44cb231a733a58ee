"""Samples and labels among the arrays of a file."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from scoresweep.pipeline.data.sources.arrays import read_array
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Keys

RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.integers(0, 256, (15, 6, 5), np.uint8)
TEST = RANDOM.integers(0, 256, (5, 6, 5), np.uint8)
BOTH = np.concatenate([TRAIN, TEST])
LABELS = np.arange(20) % 3 + 1


@pytest.fixture
def read(tmp_path):
    def save_and_read(arrays, **options):
        np.savez(tmp_path / "a.npz", **arrays)
        return read_array(tmp_path / "a.npz", **options)

    return save_and_read


def check_whole(staged, labels=LABELS):
    known = {image.tobytes(): label for image, label in zip(BOTH, LABELS, strict=True)}
    found = [image.tobytes() for part in (staged.train, staged.test) for image in part.values]
    assert sorted(found) == sorted(known)
    if labels is None:
        assert staged.train.labels is None
        return
    names = staged.train.class_names
    for part in (staged.train, staged.test):
        expected = [str(known[image.tobytes()]) for image in part.values]
        assert [names[label] for label in part.labels] == expected


@pytest.mark.parametrize(
    ("samples", "labels"),
    [
        ("images", "labels"),
        ("X", "y"),
        ("arr_0", "arr_1"),
        ("x", "Y"),
        ("data", "target"),
        ("Images", "Labels"),
        ("anything", "label"),
    ],
)
def test_pairs(read, samples, labels):
    check_whole(read({samples: BOTH, labels: LABELS}))


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainX", "trainY", "testX", "testY"),
        ("train", "train_label", "test", "test_label"),
        ("training_data", "training_labels", "testing_data", "testing_labels"),
        ("xtrain", "ytrain", "xtest", "ytest"),
        ("train/image", "train/label", "test/image", "test/label"),
        ("train_images", "train_labels", "val_images", "val_labels"),
        ("x", "y", "x_test", "y_test"),
    ],
)
def test_splits(read, names):
    arrays = (TRAIN, LABELS[:15], TEST, LABELS[15:, None])
    staged = read(dict(zip(names, arrays, strict=True)))
    np.testing.assert_array_equal(staged.train.values[..., 0], TRAIN)
    np.testing.assert_array_equal(staged.test.values[..., 0], TEST)
    np.testing.assert_array_equal(staged.train.labels, LABELS[:15] - 1)
    np.testing.assert_array_equal(staged.test.labels, LABELS[15:] - 1)


def test_validation_is_ignored_if_there_is_a_test_split(read, capsys):
    arrays = {"train_images": TRAIN, "val_images": TEST[:2], "test_images": TEST}
    staged = read({f"{k}": v for k, v in arrays.items()} | {"val_labels": LABELS[:2]})
    np.testing.assert_array_equal(staged.test.values[..., 0], TEST)
    assert "ignoring val_images, val_labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    "names",
    [
        ("images", "data"),
        ("X", "x"),
        ("image", "point"),
        ("foo", "bar"),
        ("x_train", "train_images"),
    ],
)
def test_ambiguous_names(read, names):
    with pytest.raises(InputError, match=rf"(?s){names[0]}.*{names[1]}.*dataset\.keys"):
        read(dict.fromkeys(names, BOTH))


@pytest.mark.parametrize("arrays", [[TRAIN, TEST], [TRAIN, LABELS[:15], TEST, LABELS[15:]]])
def test_arrays_without_names(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", *arrays)
    with pytest.raises(InputError, match=r"arr_1.*dataset\.keys"):
        read_array(tmp_path / "a.npz")


def test_a_long_list_is_shortened(read):
    with pytest.raises(InputError) as caught:
        read({f"array_{i}": BOTH for i in range(500)})
    assert "488 more" in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "keys",
    [
        {"image": "noisy", "label": "b"},
        {"image": "noisy"},
    ],
)
def test_keys_of_the_study(read, keys, capsys):
    staged = read(
        {"image": 255 - BOTH, "noisy": BOTH, "label": LABELS * 0, "b": LABELS}, keys=Keys(**keys)
    )
    check_whole(staged, LABELS if "label" in keys else None)
    assert "image" in capsys.readouterr().err


def test_keys_of_both_splits(tmp_path):
    np.savez(tmp_path / "a.npz", TRAIN, LABELS[:15], TEST, LABELS[15:])
    keys = Keys(image="arr_0", label="arr_1", test_image="arr_2", test_label="arr_3")
    staged = read_array(tmp_path / "a.npz", keys=keys)
    np.testing.assert_array_equal(staged.test.values[..., 0], TEST)
    np.testing.assert_array_equal(staged.test.labels, LABELS[15:] - 1)


def test_missing_keys(read):
    with pytest.raises(InputError, match=r"dataset\.keys\.label: .*'lable'.*'label'"):
        read({"image": BOTH, "label": LABELS}, keys=Keys(image="image", label="lable"))
    with pytest.raises(InputError, match=r"dataset\.keys\.point: image .*NHW"):
        read({"image": BOTH}, keys=Keys(point="image"))
    with pytest.raises(InputError, match=r"dataset\.keys\.label|labels b"):
        read({"image": BOTH, "b": LABELS[:9]}, keys=Keys(image="image", label="b"))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"label": "y"},
        {"image": "a", "point": "b"},
        {"image": "a", "test_label": "b"},
        {"image": "a", "test_point": "b"},
    ],
)
def test_keys_that_contradict_each_other(keys):
    with pytest.raises(ValidationError):
        Keys(**keys)


def test_unused_object_arrays_are_ignored(read):
    check_whole(read({"image": BOTH, "label": LABELS, "info": np.array({"a": 1}, object)}))


def test_only_a_test_split(read):
    with pytest.raises(InputError, match="x_test"):
        read({"x_test": BOTH, "y_test": LABELS})


def test_splits_with_different_array_names(read):
    for names in (("train/image", "test/noisy"), ("train/a", "test/b")):
        with pytest.raises(InputError, match=rf"{names[0]}.*{names[1]}.*dataset\.keys"):
            read({names[0]: TRAIN, names[1]: TEST})
        keys = Keys(image=names[0], test_image=names[1])
        staged = read({names[0]: TRAIN, names[1]: TEST}, keys=keys)
        np.testing.assert_array_equal(staged.test.values[..., 0], TEST)
    staged = read({"train/image": TRAIN, "test/image": TEST, "test/noisy": TEST // 2})
    np.testing.assert_array_equal(staged.test.values[..., 0], TEST)
