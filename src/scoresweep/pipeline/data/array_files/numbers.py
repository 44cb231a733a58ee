"""From numbers of any type to what a store holds, or a refusal that names what would be lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scoresweep.pipeline.data.array_files.dimension_order import CHANNELS
from scoresweep.pipeline.data.array_files.variables import Array
from scoresweep.pipeline.errors import InputError

__all__ = ["images_of", "points_of"]

BLOCK = 1024
"""Images that are converted at a time, in float64."""
LOSS = 1e-4
"""Largest error of float32 in units of a feature's standard deviation: four digits are kept."""

Range = tuple[float, float]


def images_of(
    path: Path, splits: Mapping[str, Array], black_white: Range | None
) -> tuple[dict[str, Array], Range]:
    """Return images (N, H, W, C) as a store holds them, and the values of black and white.

    Whole numbers from 0 to 255 stay as they are, in uint8. Others are scaled to [0, 1], in float32:
    x = (value − low)/(high − low). `splits` holds the images of each split by name, `black_white`
    low and high, which only uint8 (0 and 255) and bool have by themselves. Raises `InputError` for
    values that are missing or beyond low and high, and if low and high are not stated.
    """
    for name, values in splits.items():
        if values.shape[-1] not in CHANNELS:
            raise InputError(
                f"{path}: {name} has {values.shape[-1]} channels; expected 1 (grey) or 3 (colour)."
            )
        if values.dtype.kind not in "biuf":
            raise InputError(f"{path}: {name} holds {values.dtype}; expected numbers.")
        check_finite(path, name, values)
    low, high = black_white or _default_range(path, splits)
    for name, values in splits.items():
        _check_inside(path, name, values, low, high)
    if all(_are_bytes(values) for values in splits.values()):
        return {name: values.astype(np.uint8, copy=False) for name, values in splits.items()}, (
            low,
            high,
        )
    return {name: _scale(values, low, high) for name, values in splits.items()}, (0.0, 1.0)


def points_of(path: Path, splits: Mapping[str, Array]) -> dict[str, Array]:
    """Return points (N, D) as float32.

    Raises `InputError` for values that are missing, and for features that lose more than `LOSS` of
    their standard deviation in float32.
    """
    for name, values in splits.items():
        if values.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} {values.shape} {values.dtype}: expected images, uint8 (N, H, W) "
                f"or (N, H, W, C), or points, float (N, D). If these are points, convert them to "
                f"float; if each row is an image, reshape to (N, H, W)."
            )
        check_finite(path, name, values)
    for name, values in splits.items():
        _check_depth(path, name, values)
    return {name: values.astype(np.float32, copy=False) for name, values in splits.items()}


def check_finite(path: Path, name: str, values: Array) -> None:
    """Raise `InputError` if values are NaN, infinite or masked, with their count."""
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    wrong = bad.reshape(len(values), -1).any(1)
    if wrong.any():
        raise InputError(
            f"{path}: {int(bad.sum()):,} values are NaN or infinite, in {int(wrong.sum()):,} of "
            f"{len(values):,} samples; the first is sample {int(wrong.argmax())} of {name}. Remove "
            f"or repair these samples. (A value equal to the array's fill value is missing.)"
        )


def _default_range(path: Path, splits: Mapping[str, Array]) -> Range:
    """Return black and white of a type that has them by itself."""
    kinds = {values.dtype for values in splits.values()}
    low = min(values.min() for values in splits.values())
    high = max(values.max() for values in splits.values())
    if kinds == {np.dtype(bool)}:
        return 0.0, 1.0
    if kinds == {np.dtype(np.uint8)} and high != 1:
        return 0.0, 255.0
    name, first = next(iter(splits.items()))
    raise InputError(
        f"{path}: {name} {first.shape} {first.dtype} with values from {low} to {high}: expected "
        f"images, uint8 from 0 to 255, or the values that mean black and white. State these in "
        f"the study, for example dataset.range: {_guess(first.dtype, float(low), float(high))}"
    )


def _guess(dtype: np.dtype[np.generic], low: float, high: float) -> str:
    """Return a likely range, for a message."""
    if low < 0:
        step = 10 ** math.floor(math.log10(high - low) - 1)
        ends = math.floor(low / step) * step, math.ceil(high / step) * step
        return "[-1, 1]" if low >= -1 and high <= 1 else f"[{ends[0]:g}, {ends[1]:g}]"
    whites = [1] if dtype.kind == "f" else []
    return f"[0, {next((w for w in [*whites, 1, 255, 4095, 65535] if high <= w), f'{high:g}')}]"


def _check_inside(path: Path, name: str, values: Array, low: float, high: float) -> None:
    if values.min() < low or values.max() > high:  # first without arrays of the same size
        beyond = (values < low) | (values > high)
        wrong = beyond.reshape(len(values), -1).any(1)
        raise InputError(
            f"{path}: {int(beyond.sum()):,} values of {name} lie outside the range from {low:g} "
            f"to {high:g}, in {int(wrong.sum()):,} of {len(values):,} samples; the first is sample "
            f"{int(wrong.argmax())}. They reach from {values.min()} to {values.max()}: correct "
            f"dataset.range, or clip the values."
        )


def _are_bytes(values: Array) -> bool:
    """Tell whether all values are whole numbers from 0 to 255."""
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


def _check_depth(path: Path, name: str, values: Array) -> None:
    """Raise `InputError` if float32 cannot hold the values of a feature well enough."""
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
        # Scaled first: the squares of small values would vanish.
        size = np.abs(column).max() or 1.0
        spread = (column / size).std() * size
        if error > LOSS * spread and np.ptp(column) > 0:
            raise InputError(
                f"{path}: feature {feature} of {name} loses digits in float32: its values are "
                f"around {column.mean():.6g} with a standard deviation of {spread:.3g}, and the "
                f"rounding error is up to {error:.2g}. Subtract the mean, and divide by the "
                f"standard deviation if that is very small."
            )
