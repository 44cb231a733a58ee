"""Open the arrays of an HDF5 or netCDF file.

Arrays with dimension scales, as netCDF 4 writes them, are read with xarray, others with h5py.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import xarray as xr

from scoresweep.pipeline.data.array_files.cf_conventions import (
    decode_cf,
    decoded_values,
    inherit_attributes,
)
from scoresweep.pipeline.data.array_files.variables import Array, FileVariable
from scoresweep.pipeline.errors import InputError

__all__ = ["open_hdf5", "open_netcdf3"]

DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError)
PURE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[list[FileVariable]]:
    """Yield the arrays of an HDF5 or netCDF 4 file, including those in groups."""
    try:
        file = h5py.File(path, "r")
    except DAMAGED as error:
        raise _unreadable(path, "HDF5", error) from error
    with file:
        found: dict[str, h5py.Dataset] = {}

        def visit(name: str, node: h5py.Dataset | h5py.Group) -> None:
            if isinstance(node, h5py.Dataset) and not _is_pure_dimension(node):
                found[name] = node

        links: dict[str, object] = {}
        try:
            file.visititems_links(links.__setitem__)
            file.visititems(visit)
            for name, link in links.items():
                if isinstance(link, h5py.SoftLink) and name in file:
                    visit(name, file[name])
            variables = [_variable(path, file, name, dataset) for name, dataset in found.items()]
        except DAMAGED as error:
            raise _unreadable(path, "HDF5", error) from error
        for name, link in links.items():
            if isinstance(link, h5py.ExternalLink):
                raise InputError(
                    f"{path}: {name} is a link to another file, {link.filename}; expected all "
                    f"arrays in one file. Copy the array into it (h5py: new[name] = "
                    f"old[name][...])."
                )
        yield variables


@contextlib.contextmanager
def open_netcdf3(path: Path) -> Iterator[list[FileVariable]]:
    """Yield the arrays of a netCDF 3 file."""
    try:
        opened = xr.open_dataset(path, engine="scipy", decode_times=False)
    except DAMAGED as error:
        raise _unreadable(path, "netCDF", error) from error

    def variable(name: str, found: xr.Variable) -> FileVariable:
        def read() -> Array:
            try:
                return decoded_values(found)
            except DAMAGED as error:
                raise _damaged(path, name, error) from error

        attributes = inherit_attributes(opened.attrs, found.attrs)
        dimensions = tuple(map(str, found.dims))
        return FileVariable(name, found.shape, found.dtype, read, dimensions, attributes)

    with opened:
        yield [variable(str(name), found) for name, found in opened.variables.items()]


def _is_pure_dimension(dataset: h5py.Dataset) -> bool:
    return bytes(dataset.attrs.get("NAME", b"")).startswith(PURE_DIMENSION)


def _variable(path: Path, file: h5py.File, name: str, dataset: h5py.Dataset) -> FileVariable:
    """Describe one array."""
    group, _, base = name.rpartition("/")
    parents = [file[str(p)] if str(p) != "." else file for p in PurePosixPath(name).parents]
    levels = [_attributes(node) for node in [*reversed(parents), dataset]]
    attributes = inherit_attributes(*levels)
    dimensions, has_scales = _dimensions(dataset)
    shape = dataset.shape if dataset.shape is not None else ()

    def read() -> Array:
        _check_chunks(path, name, dataset)
        try:
            if not has_scales:
                return decode_cf(name, np.asarray(dataset[()]), attributes)
            others = [other for other in file[group or "/"] if other != base]
            with xr.open_dataset(
                path,
                engine="h5netcdf",
                group=group or None,
                decode_times=False,
                drop_variables=others,
                phony_dims="access",
            ) as opened:
                return decoded_values(opened[base])
        except DAMAGED as error:
            raise _damaged(path, name, error) from error

    return FileVariable(name, shape, dataset.dtype, read, dimensions, attributes)


def _dimensions(dataset: h5py.Dataset) -> tuple[tuple[str, ...] | None, bool]:
    """Return the dimension names, and whether they come from dimension scales."""
    if dataset.shape is None:
        return None, False
    if dataset.is_scale and dataset.ndim == 1:
        return (dataset.name.rpartition("/")[2],), True
    if dataset.ndim and all(len(axis) for axis in dataset.dims):
        return tuple(axis[0].name.rpartition("/")[2] for axis in dataset.dims), True
    labels = tuple(axis.label for axis in dataset.dims)
    return (labels if labels and all(labels) else None), False


def _attributes(node: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Return attributes as strings, numbers and lists."""
    return {key: _plain(node.attrs[key]) for key in node.attrs if not key.isupper()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        values = [_plain(item) for item in value.tolist()] if value.ndim else _plain(value.item())
        return values[0] if value.shape == (1,) else values
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def _check_chunks(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Raise `InputError` if chunks were never written; HDF5 would read the fill value."""
    if dataset.is_virtual or dataset.external:
        raise InputError(
            f"{path}: the array {name} is stored in other files, which may be missing or may "
            f"change unnoticed. Copy it into one file (h5py: new[name] = old[name][...])."
        )
    if not dataset.size:
        return
    if dataset.chunks is None:
        expected, written = 1, int(dataset.id.get_storage_size() > 0)
    else:
        sizes = zip(dataset.shape, dataset.chunks, strict=True)
        expected = math.prod(-(-size // chunk) for size, chunk in sizes)
        written = dataset.id.get_num_chunks()
    if written < expected:
        raise InputError(
            f"{path}: {expected - written:,} of {expected:,} chunks of the array {name} were never "
            f"written and would be read as {dataset.fillvalue}. Write the whole array; the program "
            f"that wrote the file may not have finished."
        )


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read as {kind} ({error}). Copy or save it again.")


def _damaged(path: Path, name: str, error: Exception) -> InputError:
    return InputError(f"{path}: the array {name} is damaged ({error}). Copy or save it again.")
