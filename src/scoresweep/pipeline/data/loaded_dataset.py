"""What the functions in `sources` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.stratify import stratified_split
from scoresweep.pipeline.data.user_files import hash_files
from scoresweep.pipeline.errors import InputError

__all__ = ["LoadedDataset", "user_dataset"]


@dataclass(frozen=True)
class LoadedDataset:
    """A dataset in memory, and where it came from."""

    train: Split
    test: Split
    source: str
    """Description of the source, such as an address or a path."""
    licence: str
    """Licence of the data."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every source file."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Further attributes for the store's root group, JSON-serializable."""


def user_dataset(path: Path, splits: Mapping[str, Split], test_fraction: float) -> LoadedDataset:
    """Return the user's data; if there is no test split, `test_fraction` of train becomes one.

    Raises `InputError` if the samples of the splits differ in shape.
    """
    train = splits["train"]
    train, test = (
        (train, splits["test"]) if "test" in splits else stratified_split(train, test_fraction)
    )
    if train.shape != test.shape:
        raise InputError(
            f"{path}: training samples have the shape {train.shape}, test samples {test.shape}; "
            f"expected the same shape. Crop or resize one of them."
        )
    return LoadedDataset(train, test, str(path), "your own", hash_files(path))
