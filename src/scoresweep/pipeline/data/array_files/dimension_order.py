"""Infer the meaning of each axis of an array of samples.

| letter | axis |
| --- | --- |
| N | sample |
| H | row of pixels |
| W | column of pixels |
| C | channel |
| D | feature of a point |
"""

from __future__ import annotations

from pathlib import Path

from scoresweep.pipeline.data.array_files.variables import Array, FileVariable
from scoresweep.pipeline.errors import InputError

__all__ = ["check_not_empty", "infer_axes", "to_standard_order"]

WORDS = {
    "N": "sample samples time batch n index idx item number obs observation record event frame id "
    "member realization image images",
    "H": "y height row rows lat latitude h",
    "W": "x width col cols column columns lon longitude w",
    "C": "channel channels band bands c color colour rgb",
    "D": "feature features variable d dim",
}
LETTER = {word: letter for letter, words in WORDS.items() for word in words.split()}
STANDARD = {"NHW", "NHWC", "ND"}
CHANNELS = (1, 3)
MOST_CHANNELS = 4
"""An axis of at most this length is more likely channels than pixels."""


def infer_axes(
    path: Path, variable: FileVariable, layout: str | None = None, like: str | None = None
) -> str:
    """Return the letter of each axis of an array of samples.

    In this order, they come from the dimension names, `layout` of the study, the axes of the other
    split (`like`), or an unambiguous shape. Raises `InputError` if these contradict each other, if
    the axes are ambiguous, or if the array is not numeric.
    """
    if variable.dtype.kind not in "biuf":
        raise InputError(
            f"{path}: {variable}: expected images or points as plain numbers. Save the array with "
            f"a numeric type, such as float; Python objects are never unpickled."
        )
    named = _from_names(path, variable) if variable.dimensions else None
    if layout is None:
        if named is None and like is not None and len(like) == len(variable.shape):
            return like
        return named or _from_shape(path, variable)
    if len(layout) != len(variable.shape):
        raise InputError(
            f"dataset.layout: {layout} has {len(layout)} axes, but {variable} in {path} has "
            f"{len(variable.shape)}. Name every axis once."
        )
    if named not in (None, layout):
        raise InputError(
            f"dataset.layout: {layout} contradicts the dimension names of {variable.name} in "
            f"{path}: {_names(variable)}, which mean {named}. Remove dataset.layout, or rename the "
            f"dimensions."
        )
    return layout


def to_standard_order(values: Array, axes: str) -> Array:
    """Return samples as (N, H, W, C) or (N, D)."""
    order = "ND" if "D" in axes else "NHWC"
    values = values.transpose([axes.index(letter) for letter in order if letter in axes])
    return values[..., None] if set(axes) == set("NHW") else values


def _names(variable: FileVariable) -> str:
    return f"({', '.join(variable.dimensions or ())})"


def _from_names(path: Path, variable: FileVariable) -> str | None:
    """Infer the axes from the dimension names; None if no name is known."""
    names = variable.dimensions or ()
    letters = [LETTER.get(name.lower()) for name in names]
    if not any(letters):
        return None
    if len(names) == 2 and "N" in letters:
        return "ND" if letters[0] == "N" else "DN"
    missing = [letter for letter in "NHW" if letter not in letters]
    if letters.count(None) == 1:  # only one meaning is left for it
        left = missing[0] if missing else "C"
        letters = [letter or left for letter in letters]
    axes = "".join(letter or "?" for letter in letters)
    if "".join(sorted(axes)) not in {"".join(sorted(known)) for known in STANDARD}:
        raise InputError(
            f"{path}: {variable.name} has the dimensions {_names(variable)}; expected names such "
            f"as (sample, y, x, channel) or (sample, feature). Rename them (xarray: ds.rename), or "
            f"reshape the array."
        )
    return axes


def _from_shape(path: Path, variable: FileVariable) -> str:
    """Infer the axes from the shape alone."""
    shape = variable.shape
    if len(shape) == 2:
        return "ND"
    if len(shape) == 3:
        if shape[2] <= MOST_CHANNELS and shape[1] > 2 * shape[2]:
            raise _ambiguous(path, variable, "this may be one image (H, W, C)", "NHW")
        if shape[0] in (1, *CHANNELS, MOST_CHANNELS):
            raise _ambiguous(path, variable, "this may be one image (C, H, W)", "NHW")
        if shape[0] == shape[1] < shape[2]:
            raise _ambiguous(path, variable, "the last axis may be the samples", "HWN or NHW")
        return "NHW"
    if len(shape) == 4:
        if shape[1] in CHANNELS:
            why = "the second axis may be the channels"
            raise _ambiguous(path, variable, why, "NCHW or NHWC")
        if shape[3] not in CHANNELS and (shape[3] <= MOST_CHANNELS or not {*shape} & {*CHANNELS}):
            raise InputError(
                f"{path}: {variable}: has {shape[3]} channels (the last axis); expected 1 (grey) "
                f"or 3 (colour). Keep one or three of them, such as array[..., :3]. Volumes are "
                f"not supported, but their slices (N, H, W) are."
            )
        if shape[3] not in CHANNELS:
            why = "the last axis does not have 1 or 3 channels"
            raise _ambiguous(path, variable, why, "HWCN or CHWN")
        return "NHWC"
    raise InputError(
        f"{path}: {variable}: expected images (N, H, W) or (N, H, W, C), or points (N, D). Reshape "
        f"the array."
    )


def _ambiguous(path: Path, variable: FileVariable, why: str, example: str) -> InputError:
    return InputError(
        f"{path}: {variable}: {why}. Set the order of the axes in the study, for example "
        f"dataset.layout: {example} (N sample, H row, W column, C channel)."
    )


def check_not_empty(path: Path, variable: FileVariable) -> None:
    """Raise `InputError` if an array has no values."""
    if 0 in variable.shape:
        raise InputError(f"{path}: {variable}: is empty; expected at least one value on each axis.")
