"""Convert arrays to the types of a store, and refuse values that would lose precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scoresweep.pipeline.data.array_files.dimension_order import CHANNELS
from scoresweep.pipeline.data.array_files.variables import Array
from scoresweep.pipeline.errors import InputError

__all__ = ["convert_images", "convert_points"]

BLOCK = 1024
"""Images that are converted to float64 at a time."""
MAX_ERROR = 1e-4
"""Largest rounding error of float32, relative to a feature's standard deviation."""

Range = tuple[float, float]


def convert_images(
    path: Path, splits: Mapping[str, Array], pixel_range: Range | None
) -> tuple[dict[str, Array], Range]:
    """Return images (N, H, W, C) for a store, and the stored values of black and white.

    Integers from 0 to 255 are stored as uint8. Other values are scaled to [0, 1] in float32:
    x = (value − low)/(high − low). `splits` maps array names to images; `pixel_range` is
    (low, high), with defaults for uint8 (0, 255) and bool (0, 1) only. Raises `InputError` for
    missing values, values outside `pixel_range`, and a missing `pixel_range`.
    """
    for name, values in splits.items():
        if values.shape[-1] not in CHANNELS:
            raise InputError(
                f"{path}: {name} has {values.shape[-1]} channels; expected 1 (grey) or 3 (colour). "
                f"Keep one or three of them, such as array[..., :3]."
            )
        if values.dtype.kind not in "biuf":
            raise InputError(
                f"{path}: {name} has the type {values.dtype}; expected numbers. Save it as uint8 "
                f"or float."
            )
        check_finite(path, name, values)
    low, high = pixel_range or _default_range(path, splits)
    for name, values in splits.items():
        _check_inside(path, name, values, low, high)
    if all(_are_bytes(values) for values in splits.values()):
        images = {name: values.astype(np.uint8, copy=False) for name, values in splits.items()}
        return images, (low, high)
    return {name: _scale(values, low, high) for name, values in splits.items()}, (0.0, 1.0)


def convert_points(path: Path, splits: Mapping[str, Array]) -> dict[str, Array]:
    """Return points (N, D) as float32.

    Raises `InputError` for missing values, and for features whose rounding error in float32 exceeds
    `MAX_ERROR`.
    """
    for name, values in splits.items():
        if values.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} {values.shape} {values.dtype}: expected images, uint8 (N, H, W) "
                f"or (N, H, W, C), or points, float (N, D). Convert points to float; reshape "
                f"images to (N, H, W)."
            )
        check_finite(path, name, values)
    for name, values in splits.items():
        _check_precision(path, name, values)
    return {name: values.astype(np.float32, copy=False) for name, values in splits.items()}


def check_finite(path: Path, name: str, values: Array) -> None:
    """Raise `InputError` if values are NaN, infinite or missing."""
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    wrong = bad.reshape(len(values), -1).any(1)
    if wrong.any():
        raise InputError(
            f"{path}: {int(bad.sum()):,} values are NaN or infinite, in {int(wrong.sum()):,} of "
            f"{len(values):,} samples; the first is sample {int(wrong.argmax())} of {name}. Remove "
            f"or correct these samples. (Values equal to the array's fill value count as NaN.)"
        )


def _default_range(path: Path, splits: Mapping[str, Array]) -> Range:
    """Return the values of black and white for uint8 and bool."""
    kinds = {values.dtype for values in splits.values()}
    low = min(values.min() for values in splits.values())
    high = max(values.max() for values in splits.values())
    if kinds == {np.dtype(bool)}:
        return 0.0, 1.0
    if kinds == {np.dtype(np.uint8)} and high != 1:
        return 0.0, 255.0
    name, first = next(iter(splits.items()))
    raise InputError(
        f"{path}: {name} {first.shape} {first.dtype} has values from {low} to {high}: expected "
        f"uint8 images from 0 to 255, or the values of black and white in the study, for example "
        f"dataset.range: {_guess(float(low), float(high))}"
    )


def _guess(low: float, high: float) -> str:
    """Return a likely range, for the error message."""
    if low < 0:
        step = 10 ** math.floor(math.log10(high - low) - 1)
        ends = math.floor(low / step) * step, math.ceil(high / step) * step
        return "[-1, 1]" if low >= -1 and high <= 1 else f"[{ends[0]:g}, {ends[1]:g}]"
    return f"[0, {next((w for w in (1, 255, 4095, 65535) if high <= w), f'{high:g}')}]"


def _check_inside(path: Path, name: str, values: Array, low: float, high: float) -> None:
    if values.min() < low or values.max() > high:  # cheap check first
        outside = (values < low) | (values > high)
        wrong = outside.reshape(len(values), -1).any(1)
        raise InputError(
            f"{path}: {int(outside.sum()):,} values of {name} are outside the range from {low:g} "
            f"to {high:g}, in {int(wrong.sum()):,} of {len(values):,} samples; the first is sample "
            f"{int(wrong.argmax())}. The values range from {values.min()} to {values.max()}. "
            f"Correct dataset.range, or clip the values."
        )


def _are_bytes(values: Array) -> bool:
    """Return whether all values are integers from 0 to 255."""
    if values.dtype in (np.uint8, bool):
        return True
    if values.min() < 0 or values.max() > 255:
        return False
    blocks = (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))
    return values.dtype.kind in "iu" or all((block == np.rint(block)).all() for block in blocks)


def _scale(values: Array, low: float, high: float) -> Array:
    out = np.empty(values.shape, np.float32)
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK].astype(np.float64)
        out[start : start + BLOCK] = (block - low) / (high - low)
    return out


def _check_precision(path: Path, name: str, values: Array) -> None:
    """Raise `InputError` if float32 is too imprecise for a feature."""
    if values.dtype.itemsize <= np.dtype(np.float32).itemsize:
        return
    for feature in range(values.shape[1]):
        column = values[:, feature]
        with np.errstate(over="ignore"):
            rounded = column.astype(np.float32)
        if not np.isfinite(rounded).all():
            wrong = ~np.isfinite(rounded)
            raise InputError(
                f"{path}: feature {feature} of {name} has {int(wrong.sum()):,} values beyond the "
                f"largest float32 ({np.finfo(np.float32).max:.3g}); the first is sample "
                f"{int(wrong.argmax())}. Divide this feature by a constant."
            )
        error = np.abs(column - rounded).max()
        # Scale first: squares of small values would underflow.
        largest = np.abs(column).max() or 1.0
        spread = (column / largest).std() * largest
        if error > MAX_ERROR * spread and np.ptp(column) > 0:
            raise InputError(
                f"{path}: feature {feature} of {name} loses precision in float32: mean "
                f"{column.mean():.6g}, standard deviation {spread:.3g}, largest rounding error "
                f"{error:.2g}. Subtract the mean, and divide by the standard deviation if that is "
                f"very small."
            )
