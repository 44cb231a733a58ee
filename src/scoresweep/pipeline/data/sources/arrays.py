"""User data: arrays in NumPy, HDF5, netCDF or Zarr files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from scoresweep.pipeline.data.array_files.class_labels import encode_labels
from scoresweep.pipeline.data.array_files.dimension_order import check_not_empty, to_standard_order
from scoresweep.pipeline.data.array_files.find_samples import SplitArrays, find_samples
from scoresweep.pipeline.data.array_files.hdf5_file import open_hdf5, open_netcdf3
from scoresweep.pipeline.data.array_files.numpy_file import open_npy, open_npz
from scoresweep.pipeline.data.array_files.stored_values import convert_images, convert_points
from scoresweep.pipeline.data.array_files.variables import Array, FileVariable
from scoresweep.pipeline.data.array_files.zarr_store import open_zarr_store
from scoresweep.pipeline.data.file_formats import HDF5, NETCDF3, NPY, NPZ, require_format
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset, user_dataset
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError, join_names
from scoresweep.pipeline.system.console import say

__all__ = ["read_array", "read_zarr"]

OPENERS: dict[str, Callable[[Path], AbstractContextManager[list[FileVariable]]]] = {
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

    `keys` names the arrays of samples and labels, which are otherwise found by name (see
    `find_samples`); `layout` is the order of the axes of the samples, such as NCHW (see
    `dimension_order`); `range` holds the values of black and white.

    Raises `InputError` if the file is missing, damaged, ambiguous or in an unsupported format, or
    if values are missing or would lose precision.
    """
    with OPENERS[require_format(path, "array")](path) as variables:
        return _load(path, variables, test_fraction, keys, layout, range)


def read_zarr(
    path: Path,
    test_fraction: float = 0.1,
    keys: Any = None,
    layout: str | None = None,
    range: tuple[float, float] | None = None,  # noqa: A002 - the name of the option
) -> LoadedDataset:
    """Read a Zarr store, a folder or a zip archive; options and errors as for `read_array`."""
    require_format(path, "zarr")
    with open_zarr_store(path) as variables:
        return _load(path, variables, test_fraction, keys, layout, range)


def _load(
    path: Path,
    variables: list[FileVariable],
    test_fraction: float,
    keys: Any,
    layout: str | None,
    pixel_range: tuple[float, float] | None,
) -> LoadedDataset:
    """Find, read and check the arrays of a file."""
    named = None if keys is None else keys.model_dump(exclude_none=True)
    arrays, unused = find_samples(path, variables, named, layout)
    if unused:
        say(f"{path}: using {join_names(_used(arrays))}; ignoring {join_names(unused)}")
    samples, stored_range = _read_samples(path, arrays, pixel_range)
    labels, names = _read_labels(path, arrays)
    splits = {
        split: Split(values, labels.get(split), stored_range, names if split in labels else None)
        for split, values in samples.items()
    }
    return user_dataset(path, splits, test_fraction)


def _used(arrays: Mapping[str, SplitArrays]) -> list[str]:
    pairs = [v for split in arrays.values() for v in (split.samples, split.labels)]
    return [variable.name for variable in pairs if variable is not None]


def _read_samples(
    path: Path, arrays: Mapping[str, SplitArrays], pixel_range: tuple[float, float] | None
) -> tuple[dict[str, Array], tuple[float, float] | None]:
    """Return the samples of each split as stored, and the values of black and white."""
    values: dict[str, Array] = {}
    for split in arrays.values():
        variable = split.samples
        check_not_empty(path, variable)
        samples = to_standard_order(variable.read(), split.axes)
        if len(samples) < 2:
            raise InputError(f"{path}: {variable}: has only one sample; expected two or more.")
        values[variable.name] = samples
    is_points = {"D" in split.axes for split in arrays.values()}
    if len(is_points) > 1:
        raise InputError(
            f"{path}: {arrays['train'].samples} and {arrays['test'].samples} are images and "
            f"points; expected one kind. Choose the arrays in the study: dataset.keys"
        )
    if not is_points.pop():
        known = _pixel_range(path, [split.samples for split in arrays.values()], pixel_range)
        stored, stored_range = convert_images(path, values, known)
        return dict(zip(arrays, stored.values(), strict=True)), stored_range
    if pixel_range is not None:
        raise InputError(
            f"dataset.range: is only for images, but {path} contains points. Remove dataset.range."
        )
    return dict(zip(arrays, convert_points(path, values).values(), strict=True)), None


def _pixel_range(
    path: Path, samples: list[FileVariable], from_study: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the values of black and white, from the study or the attribute `pixel_range`.

    Raises `InputError` if these differ.
    """
    found = {} if from_study is None else {"dataset.range": from_study}
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
                f"expected two numbers, the values of black and white, in increasing order. "
                f"Correct the attribute, or remove it and set dataset.range."
            )
        key = f"the attribute pixel_range of {variable.name}"
        found[key] = (float(numbers[0]), float(numbers[1]))
    if len(set(found.values())) > 1:
        both = " but ".join(f"{key} is {list(value)}" for key, value in found.items())
        raise InputError(f"{path}: {both}. Remove one of them, or make them equal.")
    return next(iter(found.values()), None)


def _read_labels(
    path: Path, arrays: Mapping[str, SplitArrays]
) -> tuple[dict[str, Array], list[str] | None]:
    """Return the classes of each split that has labels, and the class names."""
    variables = {split: a.labels for split, a in arrays.items() if a.labels is not None}
    if not variables:
        return {}, None
    given = [names for v in variables.values() if (names := _class_names(path, v)) is not None]
    if len({tuple(names) for names in given}) > 1:
        raise InputError(
            f"{path}: the attribute class_names differs between "
            f"{' and '.join(v.name for v in variables.values())}. Make them equal, or remove one."
        )
    values = {variable.name: variable.read() for variable in variables.values()}
    classes, names = encode_labels(path, values, given[0] if given else None)
    for split, labels in zip(variables, classes.values(), strict=True):
        samples = arrays[split].samples
        count = samples.shape[arrays[split].axes.index("N")]
        if len(labels) != count:
            raise InputError(
                f"{path}: {variables[split]} has {len(labels):,} labels; expected {count:,}, one "
                f"for each sample of {samples}."
            )
    return dict(zip(variables, classes.values(), strict=True)), names


def _class_names(path: Path, labels: FileVariable) -> list[str] | None:
    """Return the attribute `class_names` of labels; None if there is none."""
    value = labels.attributes.get("class_names")
    if value is None:
        return None
    items = list(value) if isinstance(value, list | tuple | np.ndarray) else []
    names = [item for item in items if isinstance(item, str)]
    if not names or len(set(names)) < len(items):
        raise InputError(
            f"{path}: the attribute class_names of {labels.name} is {str(value)[:80]!r}; expected "
            f"a list of unique names, one per class. Correct or remove it."
        )
    return names
