"""Positions of the points of a sweep in an array over the swept axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoresweep.pipeline.study import Study
from scoresweep.pipeline.study.axis_names import axis_names
from scoresweep.pipeline.study.grid import Point, swept_paths

__all__ = ["Grid", "axis_options", "grid_of", "unique_values", "weights_axes"]

SPARSE = 20
"""Cells per point above which the array would be nearly empty."""

WEIGHTS_OPTIONS = ("sample.training_step", "sample.ema")
"""Options of settings that choose the weights of a run."""

SMALL = 100_000
"""Number of cells up to which empty ones do not matter."""


@dataclass(frozen=True)
class Grid:
    """Dimensions, their coordinates, and the position of every point."""

    shape: dict[str, int]
    """Dimension to size."""
    coordinates: dict[str, tuple[str, np.ndarray[Any, Any]]]
    """Coordinate to its dimension and values."""
    positions: list[tuple[int, ...]]
    """Index of each point along every dimension."""

    def labels(self, ids: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return an array of the grid's shape with `ids` at their points and "" elsewhere."""
        array = np.full(tuple(self.shape.values()), "", dtype=object)
        for position, label in zip(self.positions, ids, strict=True):
            array[position] = label
        return array


def axis_options(study: Study) -> dict[str, str]:
    """Map every swept axis to the dotted path of its option, including the block."""
    swept = {"train": study.train, "sample": study.sample, "evaluate": study.evaluate}
    paths = {name: swept_paths(block) for name, block in swept.items()}
    names = axis_names(study, *paths.values())
    dataset = {"dataset": "dataset"} if names["dataset"] else {}
    return dataset | {names[b][path]: f"{b}.{path}" for b in paths for path in paths[b]}


def weights_axes(study: Study) -> list[str]:
    """Return the swept axes of settings that choose the weights of a run."""
    return [axis for axis, path in axis_options(study).items() if path in WEIGHTS_OPTIONS]


def grid_of(points: Sequence[Point], ids: Sequence[str], dimension: str) -> Grid:
    """Give every axis of `points` a dimension, with its values as coordinates.

    If that array would be nearly empty (many zipped axes), the points lie along one `dimension`
    instead, with `ids` as labels, and the axes are coordinates along it.
    """
    values = {axis: unique_values([point[axis] for point in points]) for axis in points[0]}
    comparable = {axis: _comparable([point[axis] for point in points]) for axis in points[0]}
    cells = math.prod(len(v) for v in values.values())
    if cells > max(SPARSE * len(points), SMALL):
        return Grid(
            {dimension: len(points)},
            {name: (dimension, v) for name, v in {dimension: _texts(ids), **comparable}.items()},
            [(index,) for index in range(len(points))],
        )
    index_of = {axis: {value: i for i, value in enumerate(v)} for axis, v in values.items()}
    return Grid(
        {axis: len(v) for axis, v in values.items()},
        {axis: (axis, v) for axis, v in values.items()},
        [
            tuple(index_of[axis][comparable[axis][index]] for axis in values)
            for index in range(len(points))
        ],
    )


def unique_values(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return the distinct values: numbers ascending, strings in the order given."""
    comparable = _comparable(values)
    if comparable.dtype == object:
        return _texts(list(dict.fromkeys(comparable)))
    return np.unique(comparable)


def _comparable(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return integers or floats if all values are numbers, strings otherwise."""
    if all(isinstance(value, int) for value in values):
        return np.asarray(values, dtype=np.int64)
    if all(isinstance(value, int | float) for value in values):
        return np.asarray(values, dtype=np.float64)
    return _texts([f"{v:g}" if isinstance(v, float) else str(v) for v in values])


def _texts(values: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return an array of objects; NetCDF does not preserve arrays of fixed-width text."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
