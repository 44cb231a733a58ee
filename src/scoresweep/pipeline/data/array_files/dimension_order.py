"""Which axis of an array is the sample, the row, the column, the channel or the feature.

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

from scoresweep.pipeline.data.array_files.variables import Array, Variable
from scoresweep.pipeline.errors import InputError

__all__ = ["axes_of", "check_not_empty", "to_standard"]

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
FEW = 4
"""An axis of so few values is more likely of channels than of pixels."""


def axes_of(
    path: Path, variable: Variable, layout: str | None = None, like: str | None = None
) -> str:
    """Return the letter of each axis of an array of samples.

    The names of its dimensions say it, or the study's `layout`, or the axes of the other split
    (`like`), or the shape if it has one meaning only. Raises `InputError` if they disagree or leave
    it open, or if the array holds no numbers.
    """
    if variable.dtype.kind not in "biuf":
        raise InputError(
            f"{path}: {variable}: expected images or points as plain numbers. Python objects are "
            f"never unpickled; save the array with a type of numbers, such as float."
        )
    named = _from_names(path, variable) if variable.dimensions else None
    if layout is None:
        if named is None and like is not None and len(like) == len(variable.shape):
            return like
        return named or _from_shape(path, variable)
    if len(layout) != len(variable.shape):
        raise InputError(
            f"dataset.layout: {layout} has {len(layout)} axes, but {variable} in {path} has "
            f"{len(variable.shape)}."
        )
    if named not in (None, layout):
        raise InputError(
            f"dataset.layout: {layout} contradicts the names of the dimensions of "
            f"{variable.name} in {path}: {_names(variable)}, which mean {named}. Remove "
            f"dataset.layout or rename the dimensions."
        )
    return layout


def to_standard(values: Array, axes: str) -> Array:
    """Return samples as (N, H, W, C) or (N, D)."""
    order = "ND" if "D" in axes else "NHWC"
    values = values.transpose([axes.index(letter) for letter in order if letter in axes])
    return values[..., None] if set(axes) == set("NHW") else values


def _names(variable: Variable) -> str:
    return f"({', '.join(variable.dimensions or ())})"


def _from_names(path: Path, variable: Variable) -> str | None:
    """Read the axes from the names of the dimensions; None if no name is known."""
    names = variable.dimensions or ()
    letters = [LETTER.get(name.lower()) for name in names]
    if not any(letters):
        return None
    if len(names) == 2 and "N" in letters:
        return "ND" if letters[0] == "N" else "DN"
    missing = [letter for letter in "NHW" if letter not in letters]
    if letters.count(None) == 1:  # the one that is left has one meaning only
        left = missing[0] if missing else "C"
        letters = [letter or left for letter in letters]
    axes = "".join(letter or "?" for letter in letters)
    if "".join(sorted(axes)) not in {"".join(sorted(known)) for known in STANDARD}:
        raise InputError(
            f"{path}: the dimensions {_names(variable)} of {variable.name} are not those of "
            f"samples: expected names such as (sample, y, x, channel) or (sample, feature). "
            f"Rename them (xarray: ds.rename), or reshape the array."
        )
    return axes


def _from_shape(path: Path, variable: Variable) -> str:
    """Read the axes from the shape alone."""
    shape = variable.shape
    if len(shape) == 2:
        return "ND"
    if len(shape) == 3:
        if shape[2] <= FEW and shape[1] > 2 * shape[2]:
            _refuse(path, variable, "this may be one image (H, W, C)", "NHW")
        if shape[0] in (1, *CHANNELS, FEW):
            _refuse(path, variable, "this may be one image (C, H, W)", "NHW")
        if shape[0] == shape[1] < shape[2]:
            _refuse(path, variable, "the samples may come last", "HWN or NHW")
        return "NHW"
    if len(shape) == 4:
        if shape[1] in CHANNELS:
            _refuse(
                path,
                variable,
                "the channels come last, unless the study says otherwise",
                "NCHW or NHWC",
            )
        if shape[3] not in CHANNELS and (shape[3] <= FEW or not {*shape} & {*CHANNELS}):
            raise InputError(
                f"{path}: {variable}: has {shape[3]} channels (the last axis); expected 1 (grey) "
                f"or 3 (colour). Keep one or three of them, such as array[..., :3]; volumes are "
                f"not read, but their slices (N, H, W) are."
            )
        if shape[3] not in CHANNELS:
            _refuse(path, variable, "the last axis is not one of 1 or 3 channels", "HWCN or CHWN")
        return "NHWC"
    raise InputError(
        f"{path}: {variable}: expected images (N, H, W) or (N, H, W, C), or points (N, D)."
    )


def _refuse(path: Path, variable: Variable, why: str, example: str) -> None:
    raise InputError(
        f"{path}: {variable}: {why}. State the order of the axes in the study, for example "
        f"dataset.layout: {example} (N sample, H row, W column, C channel)."
    )


def check_not_empty(path: Path, variable: Variable) -> None:
    """Raise `InputError` if an array has an axis without values."""
    if 0 in variable.shape:
        raise InputError(f"{path}: {variable}: has an axis of length 0, so it holds no values.")
