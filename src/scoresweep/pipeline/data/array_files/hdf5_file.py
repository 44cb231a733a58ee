"""The arrays of an HDF5 or netCDF file.

Arrays whose dimensions have names (dimension scales, as netCDF 4 writes them) are read through
xarray, others by h5py.
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

from scoresweep.pipeline.data.array_files.cf_conventions import decode, inherited, values_of
from scoresweep.pipeline.data.array_files.variables import Array, Variable
from scoresweep.pipeline.errors import InputError

__all__ = ["open_hdf5", "open_netcdf3"]

DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError)
ONLY_A_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[list[Variable]]:
    """Yield the arrays of an HDF5 or netCDF 4 file, those of its groups included."""
    try:
        file = h5py.File(path, "r")
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({error}).") from error
    with file:
        found: dict[str, h5py.Dataset] = {}

        def visit(name: str, node: h5py.Dataset | h5py.Group) -> None:
            if isinstance(node, h5py.Dataset) and not _is_only_dimension(node):
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
            raise InputError(f"{path}: cannot be read as HDF5 ({error}).") from error
        for name, link in links.items():
            if isinstance(link, h5py.ExternalLink):
                raise InputError(
                    f"{path}: {name} is a link to another file, {link.filename}. Copy the array "
                    f"into one file (h5py: new[name] = old[name][...])."
                )
        yield variables


@contextlib.contextmanager
def open_netcdf3(path: Path) -> Iterator[list[Variable]]:
    """Yield the arrays of a file in the classic netCDF format."""
    try:
        opened = xr.open_dataset(path, engine="scipy", decode_times=False)
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read as netCDF ({error}).") from error

    def variable(name: str, found: xr.Variable) -> Variable:
        def read() -> Array:
            try:
                return values_of(found)
            except DAMAGED as error:
                raise InputError(f"{path}: the array {name} is damaged ({error}).") from error

        about = inherited(opened.attrs, found.attrs)
        return Variable(name, found.shape, found.dtype, read, tuple(map(str, found.dims)), about)

    with opened:
        yield [variable(str(name), found) for name, found in opened.variables.items()]


def _is_only_dimension(dataset: h5py.Dataset) -> bool:
    return bytes(dataset.attrs.get("NAME", b"")).startswith(ONLY_A_DIMENSION)


def _variable(path: Path, file: h5py.File, name: str, dataset: h5py.Dataset) -> Variable:
    """Describe one array."""
    group, _, base = name.rpartition("/")
    parents = [file[str(p)] if str(p) != "." else file for p in PurePosixPath(name).parents]
    about = inherited(*(_attributes(p) for p in reversed(parents)), _attributes(dataset))
    dimensions, by_scale = _dimensions(dataset)
    shape = dataset.shape if dataset.shape is not None else ()

    def read() -> Array:
        _check_chunks(path, name, dataset)
        try:
            if not by_scale:
                return decode(name, np.asarray(dataset[()]), about)
            others = [other for other in file[group or "/"] if other != base]
            with xr.open_dataset(
                path,
                engine="h5netcdf",
                group=group or None,
                decode_times=False,
                drop_variables=others,
                phony_dims="access",
            ) as opened:
                return values_of(opened[base])
        except DAMAGED as error:
            raise InputError(f"{path}: the array {name} is damaged ({error}).") from error

    return Variable(name, shape, dataset.dtype, read, dimensions, about)


def _dimensions(dataset: h5py.Dataset) -> tuple[tuple[str, ...] | None, bool]:
    """Return the names of the dimensions, and whether they come from dimension scales."""
    if dataset.shape is None:
        return None, False
    if dataset.is_scale and dataset.ndim == 1:
        return (dataset.name.rpartition("/")[2],), True
    if dataset.ndim and all(len(axis) for axis in dataset.dims):
        return tuple(axis[0].name.rpartition("/")[2] for axis in dataset.dims), True
    labels = tuple(axis.label for axis in dataset.dims)
    return (labels if labels and all(labels) else None), False


def _attributes(node: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Return attributes as plain values: text, numbers and lists of them."""
    return {key: _plain(node.attrs[key]) for key in node.attrs if not key.isupper()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        values = [_plain(item) for item in value.tolist()] if value.ndim else _plain(value.item())
        return values[0] if value.shape == (1,) else values
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def _check_chunks(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Raise `InputError` if parts were never written, which HDF5 reads as the fill value."""
    if dataset.is_virtual or dataset.external:
        raise InputError(
            f"{path}: the array {name} lies in other files, which may be missing or change without "
            f"a trace. Copy it into one file (h5py: new[name] = old[name][...])."
        )
    if not dataset.size:
        return
    if dataset.chunks is None:
        expected, written = 1, int(dataset.id.get_storage_size() > 0)
    else:
        sizes = zip(dataset.shape, dataset.chunks, strict=True)
        expected = math.prod(-(-size // part) for size, part in sizes)
        written = dataset.id.get_num_chunks()
    if written < expected:
        raise InputError(
            f"{path}: {expected - written:,} of {expected:,} chunks of the array {name} were never "
            f"written: the program that wrote the file did not finish, or left them out. They "
            f"would be read as {dataset.fillvalue}. Write the whole array."
        )
