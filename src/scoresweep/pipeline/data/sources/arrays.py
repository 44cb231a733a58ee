"""Arrays of one's own: NumPy, HDF5 and netCDF files, and Zarr stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from scoresweep.pipeline.data.array_files.dimension_order import check_not_empty, to_standard
from scoresweep.pipeline.data.array_files.hdf5_file import open_hdf5, open_netcdf3
from scoresweep.pipeline.data.array_files.labels import classes_of
from scoresweep.pipeline.data.array_files.numbers import images_of, points_of
from scoresweep.pipeline.data.array_files.numpy_file import open_npy, open_npz
from scoresweep.pipeline.data.array_files.select import Choice, select
from scoresweep.pipeline.data.array_files.variables import Array, Variable, capped
from scoresweep.pipeline.data.array_files.zarr_store import open_zarr_store
from scoresweep.pipeline.data.file_formats import HDF5, NETCDF3, NPY, NPZ, expect
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.splitting import LoadedDataset, staged_own
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.console import say

__all__ = ["read_array", "read_zarr"]

OPENERS: dict[str, Callable[[Path], AbstractContextManager[list[Variable]]]] = {
    NPY: open_npy,
    NPZ: open_npz,
    HDF5: open_hdf5,
    NETCDF3: open_netcdf3,
}


def read_array(
    path: Path,
    test_fraction: float = 0.1,
    keys: Any = None,
    layout: str | None = None,
    range: tuple[float, float] | None = None,  # noqa: A002 - the name of the option
) -> LoadedDataset:
    """Read an `.npy`, `.npz`, HDF5 or netCDF file.

    `keys` names the arrays of samples and labels, which otherwise are found by their names (see
    `select`); `layout` is the order of the axes of the samples, such as NCHW (see `layout`);
    `range` holds the values that mean black and white.

    Raises `InputError` if the file is missing, damaged, ambiguous, or of a format that is not read,
    or if values are missing or would be changed.
    """
    with OPENERS[expect(path, "array")](path) as variables:
        return _stage(path, variables, test_fraction, keys, layout, range)


def read_zarr(
    path: Path,
    test_fraction: float = 0.1,
    keys: Any = None,
    layout: str | None = None,
    range: tuple[float, float] | None = None,  # noqa: A002 - the name of the option
) -> LoadedDataset:
    """Read a Zarr store, a folder or a zip archive; options and errors as for `read_array`."""
    expect(path, "zarr")
    with open_zarr_store(path) as variables:
        return _stage(path, variables, test_fraction, keys, layout, range)


def _stage(
    path: Path,
    variables: list[Variable],
    test_fraction: float,
    keys: Any,
    layout: str | None,
    black_white: tuple[float, float] | None,
) -> LoadedDataset:
    """Choose, read and check the arrays of a file, and put the splits together."""
    named = None if keys is None else keys.model_dump(exclude_none=True)
    choices, unused = select(path, variables, named, layout)
    if unused:
        say(f"{path}: read {capped(_used(choices))}; not used: {capped(unused)}")
    samples, pixel_range = _read_samples(path, choices, black_white)
    labels, names = _read_labels(path, choices)
    splits = {
        split: Split(values, labels.get(split), pixel_range, names if split in labels else None)
        for split, values in samples.items()
    }
    return staged_own(path, splits, test_fraction)


def _used(choices: Mapping[str, Choice]) -> list[str]:
    both = [v for choice in choices.values() for v in (choice.samples, choice.labels)]
    return [variable.name for variable in both if variable is not None]


def _read_samples(
    path: Path, choices: Mapping[str, Choice], black_white: tuple[float, float] | None
) -> tuple[dict[str, Array], tuple[float, float] | None]:
    """Return the samples of each split as a store holds them, and the range of images."""
    values: dict[str, Array] = {}
    for choice in choices.values():
        variable = choice.samples
        check_not_empty(path, variable)
        read = to_standard(variable.read(), choice.axes)
        if len(read) < 2:
            raise InputError(f"{path}: {variable}: holds fewer than two samples.")
        values[variable.name] = read
    is_points = {"D" in choice.axes for choice in choices.values()}
    if len(is_points) > 1:
        raise InputError(f"{path}: one of train and test holds images, the other one points.")
    if is_points.pop():
        if black_white is not None:
            raise InputError(f"dataset.range: is for images, and {path} holds points. Remove it.")
        stored, pixel_range = points_of(path, values), None
    else:
        stated = _range(path, [choice.samples for choice in choices.values()], black_white)
        stored, pixel_range = images_of(path, values, stated)
    return dict(zip(choices, stored.values(), strict=True)), pixel_range


def _range(
    path: Path, samples: list[Variable], stated: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the values of black and white: the study's, or those of the attribute `pixel_range`.

    Raises `InputError` if they contradict each other.
    """
    found = {} if stated is None else {"dataset.range": stated}
    for variable in samples:
        value = variable.attributes.get("pixel_range")
        if value is None:
            continue
        numbers = list(value) if isinstance(value, list | tuple | np.ndarray) else []
        are_numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
        if (
            len(numbers) != 2
            or not are_numbers
            or not -math.inf < numbers[0] < numbers[1] < math.inf
        ):
            raise InputError(
                f"{path}: the attribute pixel_range of {variable.name} is {str(value)[:80]!r}; "
                f"expected two numbers, the values of black and white, the lower one first."
            )
        found[f"the attribute pixel_range of {variable.name}"] = (
            float(numbers[0]),
            float(numbers[1]),
        )
    if len(set(found.values())) > 1:
        both = " but ".join(f"{key} is {list(value)}" for key, value in found.items())
        raise InputError(f"{path}: {both}. Remove one of them, or make them equal.")
    return next(iter(found.values()), None)


def _read_labels(
    path: Path, choices: Mapping[str, Choice]
) -> tuple[dict[str, Array], list[str] | None]:
    """Return the classes of each split that has labels, and their names."""
    chosen = {split: c.labels for split, c in choices.items() if c.labels is not None}
    if not chosen:
        return {}, None
    given = [names for v in chosen.values() if (names := _class_names(path, v)) is not None]
    if len({tuple(names) for names in given}) > 1:
        raise InputError(f"{path}: the attribute class_names differs between train and test.")
    values = {variable.name: variable.read() for variable in chosen.values()}
    classes, names = classes_of(path, values, given[0] if given else None)
    for split, labels in zip(chosen, classes.values(), strict=True):
        sample = choices[split].samples
        if len(labels) != sample.shape[choices[split].axes.index("N")]:
            raise InputError(f"{path}: {chosen[split]} are not as many labels as {sample} needs.")
    return dict(zip(chosen, classes.values(), strict=True)), names


def _class_names(path: Path, labels: Variable) -> list[str] | None:
    """Return the attribute `class_names` of labels."""
    value = labels.attributes.get("class_names")
    if value is None:
        return None
    items = list(value) if isinstance(value, list | tuple | np.ndarray) else []
    names = [item for item in items if isinstance(item, str)]
    if not names or len(set(names)) < len(items):
        raise InputError(
            f"{path}: the attribute class_names of {labels.name} is {str(value)[:80]!r}; expected "
            f"a list of different names, one for each class."
        )
    return names
