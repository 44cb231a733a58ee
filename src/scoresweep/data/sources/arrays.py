"""People's own arrays: `.npz`, `.npy` and Zarr; nothing is unpickled.

| split | names of the samples | names of the labels (may be missing) |
| --- | --- | --- |
| train | `train`, `x_train`, `image`, `point`, `x` | `train_label`, `y_train`, `label`, `y` |
| test (may be missing) | `test`, `x_test` | `test_label`, `y_test` |

A file with a single array needs no name. Samples are images, unsigned bytes (N, H, W) or
(N, H, W, C), or points, floats (N, D).
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from scoresweep.data.sources.own import own_files
from scoresweep.data.staged import Staged, hold_out
from scoresweep.data.store import Split
from scoresweep.errors import InputError

__all__ = ["read_array", "read_zarr"]

SAMPLES = {"train": ("train", "x_train", "image", "point", "x"), "test": ("test", "x_test")}
LABELS = {"train": ("train_label", "y_train", "label", "y"), "test": ("test_label", "y_test")}
DAMAGED = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)
"""What numpy raises on a file that is not an array file, or not a whole one."""

Array = npt.NDArray[Any]


def read_array(path: Path, test_fraction: float = 0.1) -> Staged:
    """Read an `.npz` or `.npy` file (names: see this module's table).

    Raises `InputError` where it is missing, damaged, holds Python objects, values that are not
    finite, or arrays of other shapes and types.
    """
    if not path.is_file():
        raise InputError(f"dataset.path: {path}: there is no such file.")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read ({error}). Expected an .npy or .npz file of plain numbers; "
            f"Python objects are never unpickled."
        ) from error
    return _stage(path, arrays, test_fraction, own_files(path))


def read_zarr(path: Path, test_fraction: float = 0.1) -> Staged:
    """Read a Zarr store: one array of samples, or the names of this module's table, or groups
    `train` and `test` that hold `image` or `point` and `label`, as a staged store does.

    Raises `InputError` as `read_array` does.
    """
    try:
        root = zarr.open(path, mode="r")
        found = {"x": root} if isinstance(root, zarr.Array) else _flat(root)
    # Zarr knows no codec that unpickles: an array that needs one cannot be opened.
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise InputError(f"dataset.path: {path}: cannot be read as Zarr ({error}).") from error
    arrays = {name: _load(path, array) for name, array in found.items()}
    attributes: dict[str, Any] = {}
    for array in found.values():
        attributes.update(array.attrs.asdict())
    low, high = attributes.get("pixel_range", (0, 255))
    return _stage(
        path,
        arrays,
        test_fraction,
        own_files(path),
        pixel_range=(float(low), float(high)),
        class_names=attributes.get("class_names"),
    )


def _flat(root: zarr.Group) -> dict[str, zarr.Array[Any]]:
    """Return the arrays of a group by name; those of a group `train` or `test` by split."""
    found = dict(root.arrays())
    for split, group in root.groups():
        for name, array in group.arrays():
            found[f"{split}_label" if name == "label" else split] = array
    return found


def _load(path: Path, array: zarr.Array[Any]) -> Array:
    """Read a Zarr array."""
    try:
        return np.asarray(array[:])
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: the array {array.path or '/'} is damaged ({error}).") from error


def _stage(
    path: Path,
    arrays: dict[str, Array],
    test_fraction: float,
    files: dict[str, str],
    pixel_range: tuple[float, float] = (0.0, 255.0),
    class_names: list[str] | None = None,
) -> Staged:
    """Check the arrays of a file and put the splits together."""
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    samples = {split: _pick(arrays, names) for split, names in SAMPLES.items()}
    labels = {split: _pick(arrays, names) for split, names in LABELS.items()}
    if samples["train"] is None:
        raise InputError(
            f"{path}: holds the arrays {', '.join(arrays) or 'none'}; the samples are expected "
            f"under one of the names {', '.join(SAMPLES['train'])}."
        )
    splits = []
    for split, values in samples.items():
        if values is not None:
            checked = _check_samples(path, values)
            classes = _check_labels(path, labels[split], len(checked))
            names = class_names
            if classes is not None and names is None:
                names = [str(number) for number in range(int(classes.max()) + 1)]
            kept = pixel_range if checked.dtype == np.uint8 else None
            splits.append(Split(checked, classes, kept, names if classes is not None else None))
    train, test = splits if len(splits) == 2 else hold_out(splits[0], test_fraction)
    if train.shape != test.shape:
        raise InputError(
            f"{path}: samples of train have the shape {train.shape}, those of test {test.shape}."
        )
    return Staged(train, test, str(path), "your own", files)


def _pick(arrays: dict[str, Array], names: tuple[str, ...]) -> Array | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _check_samples(path: Path, values: Array) -> Array:
    """Return images (N, H, W, C) or points float32 (N, D)."""
    if values.ndim == 0 or len(values) < 2:
        raise InputError(f"{path}: holds fewer than two samples (an array {values.shape}).")
    if values.dtype == np.uint8 and values.ndim in (3, 4):
        images = values[..., None] if values.ndim == 3 else values
        if images.shape[-1] not in (1, 3):
            raise InputError(
                f"{path}: images of the shape {values.shape[1:]}; expected (H, W), (H, W, 1) or "
                f"(H, W, 3): the channels come last."
            )
        return images
    if values.dtype.kind == "f" and values.ndim == 2:
        bad = ~np.isfinite(values).all(1)
        if bad.any():
            raise InputError(
                f"{path}: {int((~np.isfinite(values)).sum()):,} values are NaN or infinite, in "
                f"{int(bad.sum()):,} of {len(values):,} samples; the first is sample "
                f"{int(bad.argmax())}. Remove or repair these samples."
            )
        return values.astype(np.float32)
    raise InputError(
        f"{path}: an array {values.shape} of {values.dtype}; expected images, uint8 (N, H, W) or "
        f"(N, H, W, C), or points, float (N, D)."
    )


def _check_labels(path: Path, labels: Array | None, count: int) -> Array | None:
    """Return labels as int64 (N,)."""
    if labels is None:
        return None
    labels = labels.squeeze()
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(
            f"{path}: labels {labels.shape} of {labels.dtype}; expected whole numbers from 0, one "
            f"for each of {count:,} samples."
        )
    return labels.astype(np.int64)
