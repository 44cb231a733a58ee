"""Encode labels as classes 0 to K−1 with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scoresweep.pipeline.data.array_files.variables import Array
from scoresweep.pipeline.errors import InputError, join_names

__all__ = ["encode_labels"]


def encode_labels(
    path: Path, splits: Mapping[str, Array], names: Sequence[str] | None = None
) -> tuple[dict[str, Array], list[str]]:
    """Return the class of each sample, int64 (N,) from 0 to K−1, and the K names.

    `splits` holds the labels of each split: integers or text (N,), or one-hot vectors (N, K). The
    classes are the sorted unique labels. With `names`, labels are positions or names in that list.
    Raises `InputError` for other labels.
    """
    found = {}
    for name, labels in splits.items():
        values, inverse = np.unique(_flat(path, name, labels), return_inverse=True)
        found[name] = [_plain(value) for value in values], inverse
    if len({isinstance(value, str) for values, _ in found.values() for value in values}) > 1:
        raise InputError(
            f"{path}: the labels of one split are numbers, those of the other are text; expected "
            f"the same type. Convert one of them."
        )
    unique = sorted({value for values, _ in found.values() for value in values})
    if names is None:
        position = {value: index for index, value in enumerate(unique)}
        names = [str(value) for value in unique]
    else:
        position = _positions(path, unique, names)
    classes = {
        split: np.array([position[value] for value in values], np.int64)[inverse]
        for split, (values, inverse) in found.items()
    }
    return classes, list(names)


def _positions(path: Path, found: list[Any], names: Sequence[str]) -> dict[Any, int]:
    """Return the class of each label, given the class names in the file."""
    if all(isinstance(value, str) for value in found):
        position: dict[Any, int] = {name: index for index, name in enumerate(names)}
    else:
        position = {index: index for index in range(len(names))}
    unknown = [value for value in found if value not in position]
    if unknown:
        raise InputError(
            f"{path}: the attribute class_names has {len(names):,} names, but none for the labels "
            f"{join_names(unknown)}. Correct it, or remove it to name the classes by their labels."
        )
    return position


def _flat(path: Path, name: str, labels: Array) -> Array:
    """Return labels as integers or text (N,)."""
    if labels.ndim > 1 and labels.size == len(labels):
        labels = labels.reshape(-1)
    if labels.ndim == 2:
        return _from_one_hot(path, name, labels)
    kind = labels.dtype.kind
    if labels.ndim != 1 or kind not in "biufSUOT":
        raise _refused(path, name, f"{labels.shape} {labels.dtype}")
    if kind == "O" and not all(isinstance(value, str | bytes) for value in labels):
        raise _refused(path, name, "Python objects")
    if kind in "SO":
        return np.array([_text(value) for value in labels], dtype=np.dtypes.StringDType())
    if kind == "f":
        bad = ~np.isfinite(labels) | (labels != np.rint(labels))
        if bad.any():
            first = int(bad.argmax())
            raise _refused(
                path,
                name,
                f"{int(bad.sum()):,} other values, such as {labels[first]} at sample {first}",
            )
    return labels


def _text(value: str | bytes) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _from_one_hot(path: Path, name: str, labels: Array) -> Array:
    """Return the index of the 1 in each row."""
    is_numeric = labels.dtype.kind in "biuf"
    ones = labels == 1 if is_numeric else np.zeros(labels.shape, bool)
    bad = ~np.isin(labels, (0, 1)).all(1) if is_numeric else np.ones(len(labels), bool)
    bad |= ones.sum(1) != 1
    if bad.any():
        first = int(bad.argmax())
        raise _refused(path, name, f"{labels.shape} {labels.dtype}, not one-hot at sample {first}")
    columns: Array = ones.argmax(1)
    return columns


def _plain(value: Any) -> int | str:
    if isinstance(value, np.bool):
        return bool(value)
    return int(value) if isinstance(value, np.number) else str(value)


def _refused(path: Path, name: str, what: str) -> InputError:
    return InputError(
        f"{path}: the labels {name} contain {what}; expected integers or text (N,), or one-hot "
        f"vectors (N, K). To ignore the labels, name only the samples: dataset.keys: {{image: "
        f"NAME}}, or {{point: NAME}}"
    )
