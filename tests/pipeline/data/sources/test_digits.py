from __future__ import annotations

import numpy as np
import pytest
import sklearn.datasets

from scoresweep.pipeline.data.sources.digits import read_digits
from scoresweep.pipeline.errors import InputError


def test_the_digits_are_scikit_learns():
    staged = read_digits()
    assert (len(staged.train.values), len(staged.test.values)) == (1437, 360)
    bunch = sklearn.datasets.load_digits()
    expected = sorted(
        (*image.ravel().tolist(), label)
        for image, label in zip(bunch.images, bunch.target, strict=True)
    )
    found = sorted(
        (*image.ravel().astype(float).tolist(), label)
        for split in (staged.train, staged.test)
        for image, label in zip(split.values, split.labels, strict=True)
    )
    assert found == expected


def test_the_test_split_has_a_fifth_of_each_class():
    staged = read_digits()
    counts = np.bincount(staged.test.labels)
    total = counts + np.bincount(staged.train.labels)
    np.testing.assert_allclose(counts / total, 0.2, atol=0.006)


def test_sixteen_is_white():
    x = read_digits().train.model_space()
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)


def test_other_digits_are_refused(monkeypatch):
    bunch = sklearn.datasets.load_digits()
    bunch.images[3, 4, 4] += 1
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: bunch)
    with pytest.raises(InputError, match="SHA-256"):
        read_digits()
