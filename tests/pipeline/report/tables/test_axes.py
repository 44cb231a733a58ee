"""Positions of the points of a sweep in arrays."""

from __future__ import annotations

import numpy as np

from scoresweep.pipeline.report.tables.axes import grid_of, unique_values


def test_numbers_are_sorted_and_strings_keep_their_order() -> None:
    assert unique_values([8e-5, 5e-6, 8e-5]).tolist() == [5e-6, 8e-5]
    assert unique_values([30, 10]).dtype == np.int64
    assert unique_values(["uniform", "normal"]).tolist() == ["uniform", "normal"]


def test_numbers_mixed_with_strings_become_strings() -> None:
    values = unique_values([2e-5, "auto"])
    assert values.dtype == object
    assert values.tolist() == ["2e-05", "auto"]


def test_every_point_is_found_at_its_values() -> None:
    points = [{"levels": 30, "seed": 1}, {"levels": 10, "seed": 0}, {"levels": 30, "seed": 0}]
    grid = grid_of(points, ["a", "b", "c"], "run")
    assert grid.shape == {"levels": 2, "seed": 2}
    assert grid.labels(["a", "b", "c"]).tolist() == [["b", ""], ["c", "a"]]


def test_one_point_without_axes_is_a_scalar() -> None:
    grid = grid_of([{}], ["only"], "run")
    assert grid.shape == {}
    assert grid.labels(["only"]).item() == "only"


def test_axes_that_advance_together_lie_along_one_dimension() -> None:
    points = [{f"axis{k}": value for k in range(9)} for value in range(9)]
    grid = grid_of(points, [f"id{value}" for value in range(9)], "setting")
    assert grid.shape == {"setting": 9}
    assert grid.coordinates["setting"][1].tolist()[:2] == ["id0", "id1"]
    assert grid.coordinates["axis3"][0] == "setting"
    assert grid.coordinates["axis3"][1].tolist() == list(range(9))
