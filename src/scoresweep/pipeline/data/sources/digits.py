"""Read the handwritten digits included in scikit-learn."""

from __future__ import annotations

import hashlib

import numpy as np

from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.stratify import stratified_split
from scoresweep.pipeline.errors import InputError

__all__ = ["read_digits"]

SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
"""Of the images, then the labels, as unsigned bytes."""


def read_digits() -> LoadedDataset:
    """Read the 1,797 digits of 8×8 pixels and 17 grey levels (0 is paper, 16 is ink).

    A fixed stratified split makes 360 of them, a fifth of each class, the test set; 1,437 remain
    for training. Raises `InputError` if scikit-learn's copy differs.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[..., None]
    found = hashlib.sha256(images.tobytes() + bunch.target.astype(np.uint8).tobytes()).hexdigest()
    if found != SHA256:
        raise InputError(
            f"digits: the copy in scikit-learn has the SHA-256 {found}, expected {SHA256}. "
            f"Reinstall scikit-learn."
        )
    names = [str(name) for name in bunch.target_names]
    samples = Split(images, bunch.target.astype(np.int64), (0.0, 16.0), names)
    train, test = stratified_split(samples, 0.2)
    return LoadedDataset(
        train,
        test,
        "scikit-learn (UCI Optical Recognition of Handwritten Digits, test set)",
        "CC BY 4.0",
        {"digits": SHA256},
    )
