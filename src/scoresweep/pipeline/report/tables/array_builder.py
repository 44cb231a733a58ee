"""Combine arrays of many files into arrays over the points of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.report.tables.netcdf_reader import Variable

__all__ = ["ArrayBuilder"]

Array = np.ndarray[Any, Any]


class ArrayBuilder:
    """Builds arrays over `shape` (dimension to size) and the files' own dimensions.

    A file's own dimension grows to hold every coordinate value that occurs in a file (or, without
    coordinates, the longest file); values missing in a file stay NaN.
    """

    def __init__(self, shape: Mapping[str, int]) -> None:
        self.shape = dict(shape)
        self._indices: dict[str, dict[Any, int]] = {}
        self._arrays: dict[str, Array] = {}
        self._dims: dict[str, tuple[str, ...]] = {}

    def add(self, position: tuple[int, ...], variables: Mapping[str, Variable]) -> None:
        """Store the variables of one file at `position`."""
        sizes = {
            dim: size
            for variable in variables.values()
            for dim, size in zip(variable.dims, variable.values.shape, strict=True)
        }
        indices = {dim: self._indices_of(dim, size, variables) for dim, size in sizes.items()}
        for name, variable in variables.items():
            if name in sizes or variable.values.dtype.kind not in "fiub":
                continue
            array = self._array(name, variable)
            at = [indices[dim] for dim in variable.dims]
            array[position + (np.ix_(*at) if at else ())] = variable.values

    def dataset(self) -> xr.Dataset:
        """Return the arrays, with the files' dimensions in ascending order.

        A dimension without any value is left out, and so are the variables along it. An exact score
        has no training steps, for example, so a study of exact scores only has no training curves.
        """
        outer = tuple(self.shape)
        kept = {dim: indices for dim, indices in self._indices.items() if indices}
        result = xr.Dataset(
            {
                name: (outer + self._dims[name], array)
                for name, array in self._arrays.items()
                if kept.keys() >= set(self._dims[name])
            },
            coords={dim: (dim, _values(indices)) for dim, indices in kept.items()},
        )
        rising = [dim for dim in kept if result[dim].dtype.kind in "fi"]
        return result.sortby(rising) if rising else result

    def _indices_of(self, dim: str, size: int, variables: Mapping[str, Variable]) -> Array:
        """Return the index of each of a file's values along `dim`, adding those that are new."""
        known = self._indices.setdefault(dim, {})
        values = variables[dim].values.tolist() if dim in variables else range(size)
        return np.asarray([known.setdefault(value, len(known)) for value in values], dtype=np.intp)

    def _array(self, name: str, variable: Variable) -> Array:
        """Return the array of a variable, created or grown to the current size."""
        dims = self._dims.setdefault(name, variable.dims)
        size = (*self.shape.values(), *(len(self._indices[dim]) for dim in dims))
        array = self._arrays.get(name)
        if array is None or array.shape != size:
            kind = variable.values.dtype if variable.values.dtype.kind == "f" else np.float64
            grown = np.full(size, np.nan, dtype=kind)
            if array is not None:
                grown[tuple(slice(size) for size in array.shape)] = array
            self._arrays[name] = array = grown
        return array


def _values(indices: Mapping[Any, int]) -> Array:
    values = list(indices)
    if any(isinstance(value, str) for value in values):
        array = np.empty(len(values), dtype=object)
        array[:] = [str(value) for value in values]
        return array
    return np.asarray(values)
