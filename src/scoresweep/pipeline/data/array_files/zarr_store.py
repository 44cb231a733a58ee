"""Open the arrays of a Zarr store, version 2 or 3, in a folder or a zip archive.

Consolidated metadata is ignored, since it may be out of date. Arrays with dimension names are read
with xarray.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore, ZipStore

from scoresweep.pipeline.data.array_files.cf_conventions import (
    decode_cf,
    decoded_values,
    inherit_attributes,
)
from scoresweep.pipeline.data.array_files.variables import Array, FileVariable
from scoresweep.pipeline.data.array_files.zarr_chunks import check_chunks
from scoresweep.pipeline.data.file_formats import ZARR_FILES
from scoresweep.pipeline.errors import InputError

__all__ = ["open_zarr_store"]

DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile)

Store = LocalStore | ZipStore


@contextlib.contextmanager
def open_zarr_store(path: Path) -> Iterator[list[FileVariable]]:
    """Yield the arrays of a store, including those in groups."""
    store, prefix = _open(path)
    try:
        try:
            root = zarr.open(store, path=prefix, mode="r", use_consolidated=False)
            if isinstance(root, zarr.Array):
                found = {"x": root}
                attributes: dict[str, dict[str, Any]] = {"": {}}
            else:
                members = dict(root.members(max_depth=None))
                attributes = {"": root.attrs.asdict()}
                attributes |= {name: member.attrs.asdict() for name, member in members.items()}
                found = {n: m for n, m in sorted(members.items()) if isinstance(m, zarr.Array)}
        # Zarr has no codec that unpickles; arrays that require one are errors here.
        except DAMAGED as error:
            raise InputError(
                f"{path}: cannot be read as Zarr ({error}). Copy or save it again."
            ) from error
        variables = []
        for name, array in found.items():
            parents = [str(parent) for parent in reversed(PurePosixPath(name).parents)]
            levels = [attributes.get("" if p == "." else p, {}) for p in parents]
            inherited = inherit_attributes(*levels, array.attrs.asdict())
            siblings = [other for other in found if other != name]
            variables.append(_variable(path, store, name, array, inherited, siblings))
        yield variables
    finally:
        store.close()


def _open(path: Path) -> tuple[Store, str]:
    """Open a store; return it and the path of its root group, which zipped folders have."""
    if path.is_dir():
        return LocalStore(path, read_only=True), ""
    with zipfile.ZipFile(path) as archive:
        roots = [
            PurePosixPath(name).parent
            for name in archive.namelist()
            if PurePosixPath(name).name in ZARR_FILES
        ]
    prefix = str(min(roots, key=lambda root: len(root.parts)))
    return ZipStore(path, mode="r"), "" if prefix == "." else prefix


def _variable(
    path: Path,
    store: Store,
    name: str,
    array: zarr.Array[Any],
    attributes: dict[str, Any],
    others: list[str],
) -> FileVariable:
    """Describe one array."""
    if isinstance(array.metadata, ArrayV3Metadata):
        names = array.metadata.dimension_names
    else:
        names = attributes.get("_ARRAY_DIMENSIONS")
    dimensions = tuple(map(str, names)) if names and None not in names else None

    def read() -> Array:
        group, _, base = array.path.rpartition("/")
        try:
            check_chunks(path, name, array)
            if dimensions is None or not base:
                return decode_cf(name, np.asarray(array[...]), attributes)
            dropped = [
                other.rpartition("/")[2] for other in others if other.rpartition("/")[2] != base
            ]
            with xr.open_zarr(
                store,
                group=group,
                consolidated=False,
                chunks=None,
                decode_times=False,
                drop_variables=dropped,
            ) as opened:
                return decoded_values(opened[base])
        except DAMAGED as error:
            raise InputError(
                f"{path}: the array {name} is damaged ({error}). Copy or save it again."
            ) from error

    return FileVariable(name, array.shape, array.dtype, read, dimensions, attributes)
