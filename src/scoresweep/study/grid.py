"""Expand a block with a grid into its points."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from scoresweep.errors import InputError, did_you_mean
from scoresweep.study.base import Config, content_hash, is_without_effect
from scoresweep.study.load import describe_errors
from scoresweep.study.schema import Sweep

__all__ = ["Point", "expand", "swept_paths"]

C = TypeVar("C", bound=Config)
Point = dict[str, Any]
"""One point of a sweep: dotted path to value."""


def swept_paths(sweep: Sweep) -> list[str]:
    """Return the dotted paths that `sweep` varies, in the order in which they are written."""
    groups = [sweep.grid, *sweep.zip, *sweep.include]
    return list(dict.fromkeys(path for group in groups for path in group))


def expand(block: Config, model: type[C], where: str) -> list[tuple[Point, C]]:
    """Return the points of a block: the value of every swept path, and the block with them set.

    `block` is a `model` and a `Sweep`. The points are the product of `grid` and of the `zip`
    groups, less `exclude`, plus `include`; a point that occurs twice is kept once. `where` is what
    messages call the block, such as "config.yaml: train".
    """
    assert isinstance(block, Sweep)
    base = block.model_dump(include=set(model.model_fields))
    paths = swept_paths(block)
    groups: dict[str, Iterable[str]] = {"grid": block.grid}
    groups |= {f"zip[{index}]": group for index, group in enumerate(block.zip)}
    groups |= {f"include[{index}]": group for index, group in enumerate(block.include)}
    for name, group in groups.items():
        for path in group:
            _check_path(base, path, f"{where}.{name}")
            if is_without_effect(model, path.split(".")[0]):
                raise InputError(f"{where}.{name}.{path}: changes no result and cannot be swept")
    _check_lists(block, where)
    points = [p for p in _product(block) if not any(_matches(p, e) for e in block.exclude)]
    for index, entry in enumerate(block.exclude):
        if not any(_matches(point, entry) for point in _product(block)):
            raise InputError(f"{where}.exclude[{index}]: {entry}: matches no point of the grid")
    expanded: dict[str, tuple[Point, C]] = {}
    for point in [*points, *block.include]:
        config = _validate(base, point, model, where)
        values, given = config.model_dump(), config.model_dump(exclude_defaults=True)
        full = {path: _lookup(values, path) for path in paths}
        blocks = {path: value for path, value in full.items() if isinstance(value, dict)}
        full |= {
            path: _told_apart(_lookup(given, path) or value, path, paths)
            for path, value in blocks.items()
        }
        expanded.setdefault(content_hash(config), (full, config))
    if not expanded:
        raise InputError(f"{where}: the grid has no point left: exclude takes away all of them")
    return list(expanded.values())


def _told_apart(given: dict[str, Any], path: str, paths: list[str]) -> dict[str, Any]:
    """Return what tells a block from others: what is given, less what is swept by its own path."""
    return {key: value for key, value in given.items() if f"{path}.{key}" not in paths}


def _product(sweep: Sweep) -> Iterator[Point]:
    """Yield the points of the product of the grid's axes and the zip groups."""
    axes = sweep.grid.items()
    factors: list[list[Point]] = [[{path: value} for value in values] for path, values in axes]
    for group in sweep.zip:
        rows = zip(*group.values(), strict=True)
        factors.append([dict(zip(group, row, strict=True)) for row in rows])
    for combination in itertools.product(*factors):
        yield {path: value for part in combination for path, value in part.items()}


def _check_lists(sweep: Sweep, where: str) -> None:
    for path, values in sweep.grid.items():
        if not values:
            raise InputError(f"{where}.grid.{path}: []: expected at least one value")
    for index, group in enumerate(sweep.zip):
        lengths = {path: len(values) for path, values in group.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise InputError(
                f"{where}.zip[{index}]: expected lists of one length, at least 1; found {lengths}"
            )


def _check_path(base: dict[str, Any], path: str, where: str) -> None:
    """Raise `InputError` unless `path` leads to a value in the block."""
    value: Any = base
    for depth, part in enumerate(path.split(".")):
        parent = ".".join(path.split(".")[:depth])
        if not isinstance(value, dict):
            found = "is not set" if value is None else f"is {value!r}"
            raise InputError(f"{where}.{path}: {parent!r} {found} and has no part {part!r}")
        if part not in value:
            hint = did_you_mean(part, value)
            place = f"of {parent!r}" if parent else f"of this block{_top_hint(path)}"
            raise InputError(
                f"{where}.{path}: {part!r} is not a key {place}.{hint} Known: {', '.join(value)}."
            )
        value = value[part]


def _top_hint(path: str) -> str:
    """A path is relative to its block: say so to whoever wrote the block's name in front."""
    first = path.split(".")[0]
    known = first in {"train", "sample", "evaluate"}
    return f" (paths begin inside the block: leave out '{first}.')" if known else ""


def _matches(point: Point, entry: Point) -> bool:
    return all(path in point and point[path] == value for path, value in entry.items())


def _validate(base: dict[str, Any], point: Point, model: type[C], where: str) -> C:
    """Return the block with the values of `point` set; name the grid's value if it is wrong."""
    content = copy.deepcopy(base)
    for path, value in sorted(point.items(), key=lambda item: item[0].count(".")):
        *parents, last = path.split(".")
        target = content
        for part in parents:
            target = target[part]
        target[last] = value
    try:
        return model.model_validate(content)
    except ValidationError as error:
        message = describe_errors(error, content, where, model).replace(f"{where}: ", f"{where}.")
        values = ", ".join(f"{path}={value!r}" for path, value in point.items())
        raise InputError(f"{message}\n  at the grid's point {values}") from None


def _lookup(values: dict[str, Any], path: str) -> Any:
    """Return the value at `path`; None where the point has replaced the block that held it."""
    value: Any = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
