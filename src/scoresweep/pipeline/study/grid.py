"""Expand a block of the study file and its grid into points."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import Config, content_hash, is_runtime_only, label_of
from scoresweep.pipeline.study.models import Study, Sweep
from scoresweep.pipeline.study.point import Point, set_point, value_at
from scoresweep.pipeline.study.validation_errors import describe_errors

__all__ = ["Expanded", "Point", "content_with_defaults", "expand", "swept_paths"]

C = TypeVar("C", bound=Config)

NOT_SWEPT = object()
"""Sentinel: the point sets no value there."""


class Expanded(NamedTuple, Generic[C]):
    """A point of a sweep."""

    point: Point
    """Swept values by path."""
    config: C
    """The block with these values set, without labels."""
    labels: dict[str, str]
    """Labels of the blocks among the swept values, by path."""


def swept_paths(sweep: Sweep) -> list[str]:
    """Return the dotted paths that `sweep` varies, in file order."""
    groups = [sweep.grid, *sweep.zip, *sweep.include]
    return list(dict.fromkeys(path for group in groups for path in group))


def content_with_defaults(study: Study) -> dict[str, Any]:
    """Return the content of a study file with all defaults, which is read as the same study.

    Blocks whose `name` is swept have no defaults: the other methods would take them as given.
    """
    content = study.model_dump(mode="json")
    for key in ("train", "sample", "evaluate"):
        block = getattr(study, key)
        written = block.model_dump(mode="json", exclude_unset=True)
        for path in swept_paths(block):
            name, _, last = path.partition(".")
            if last == "name" and isinstance(content[key][name], dict):
                method = {"name": content[key][name]["name"]}
                content[key][name] = method | written.get(name, {})
    return content


def expand(block: Config, model: type[C], where: str) -> list[Expanded[C]]:
    """Return the points of a block.

    The points are the product of `grid` and the `zip` groups, minus `exclude`, plus `include`.
    Repeated points are dropped.

    Args:
        block: a `model` that is also a `Sweep`.
        model: the block without its sweep.
        where: what error messages call the block, such as "config.yaml: train".

    Raises:
        InputError: if a path or a value is wrong, a block has two labels, or no point is left.
    """
    assert isinstance(block, Sweep)
    paths = swept_paths(block)
    places = _places(block, model, where)
    _check_lists(block, where)
    product = [(point, places[0]) for point in _product(block)]
    points = [p for p in product if not any(_matches(p[0], entry) for entry in block.exclude)]
    for index, entry in enumerate(block.exclude):
        if not any(_matches(point, entry) for point, _ in product):
            raise InputError(
                f"{where}.exclude[{index}]: {entry}: matches no point of the grid; "
                "expected values that grid or zip contain"
            )
    expanded: dict[str, Expanded[C]] = {}
    for point, place in [*points, *zip(block.include, places[1:], strict=True)]:
        config = _validate(set_point(block, model, point, place), point, model, where)
        _refuse_swept_labels(config, point, place)
        labels = _labels(config, block, point, paths)
        if labels:
            config = model.model_validate(config.model_dump())
        values, given = config.model_dump(), config.model_dump(exclude_defaults=True)
        full = {path: value_at(values, path) for path in paths}
        blocks = {path: value for path, value in full.items() if isinstance(value, dict)}
        full |= {
            path: _distinguishing_options(value_at(given, path) or value, path, paths)
            for path, value in blocks.items()
        }
        first = expanded.setdefault(content_hash(config), Expanded(full, config, labels))
        for path, label in labels.items():
            if (other := first.labels.setdefault(path, label)) != label:
                raise InputError(
                    f"{place.get(path, where)}.{path}: label: {label!r}: this block has the label "
                    f"{other!r} elsewhere in the grid; expected one label for each block"
                )
    if not expanded:
        raise InputError(
            f"{where}.exclude: removes every point of the grid; expected at least one to remain"
        )
    return list(expanded.values())


def _refuse_swept_labels(config: Config, point: Point, places: dict[str, str]) -> None:
    """Raise `InputError` if a point sets the label of a block by a path of its own."""
    for path in point:
        owner, _, last = path.rpartition(".")
        if last == "label" and label_of(_attribute(config, owner)) is not None:
            raise InputError(
                f"{places[path]}.{path}: does not affect results, so it cannot be swept; expected "
                f"a label inside each block, as in {owner}: [{{name: ..., label: A}}]"
            )


def _attribute(config: Any, path: str) -> Any:
    """Return the value at a dotted path of nested blocks; None if there is none."""
    for part in path.split("."):
        config = getattr(config, part, None)
    return config


def _labels(config: Config, block: Config, point: Point, paths: list[str]) -> dict[str, str]:
    """Return the labels of the blocks at `paths`; a path to a name stands for its block.

    A block that the point does not set has the label that it has in `block`.
    """
    labels = {}
    for path in paths:
        owner = path.removesuffix(".name")
        found = _attribute(config if owner in point else block, owner)
        if (label := label_of(found)) is not None:
            labels[path] = label
    return labels


def _distinguishing_options(given: dict[str, Any], path: str, paths: list[str]) -> dict[str, Any]:
    """Return the options of a block that name it: those given, minus those swept separately."""
    return {key: value for key, value in given.items() if f"{path}.{key}" not in paths}


def _places(sweep: Sweep, model: type[Config], where: str) -> list[dict[str, str]]:
    """Map each path to its place in the file: first for the product, then for each `include`.

    Raises `InputError` for a path that cannot be swept or that occurs twice in the product.
    """
    groups = {"grid": sweep.grid, **{f"zip[{i}]": group for i, group in enumerate(sweep.zip)}}
    places: list[dict[str, str]] = [{}]
    for name, group in groups.items():
        for path in group:
            if path in places[0]:
                raise InputError(
                    f"{where}.{name}.{path}: is also in {places[0][path].split(': ')[-1]}; "
                    f"expected each path once"
                )
            places[0][path] = f"{where}.{name}"
    places += [
        dict.fromkeys(entry, f"{where}.include[{i}]") for i, entry in enumerate(sweep.include)
    ]
    for path, place in ((path, place) for each in places for path, place in each.items()):
        if is_runtime_only(model, path.split(".")[0]):
            raise InputError(
                f"{place}.{path}: does not affect results, so it cannot be swept; "
                f"expected a single value in the block"
            )
    return places


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
                f"{where}.zip[{index}]: expected non-empty lists of equal length, found the "
                f"lengths {lengths}"
            )


def _matches(point: Point, entry: Point) -> bool:
    """Return whether a point has all values of `entry`, also inside blocks that it sets."""
    return all(_agrees(_swept_value(point, path), value) for path, value in entry.items())


def _agrees(found: Any, value: Any) -> bool:
    """Return whether a swept value is `value`, which may leave out the label of a block."""
    if isinstance(found, dict) and isinstance(value, dict) and "label" not in value:
        found = {key: each for key, each in found.items() if key != "label"}
    return bool(found == value)


def _swept_value(point: Point, path: str) -> Any:
    """Return the value that `point` sets at `path`; NOT_SWEPT if it sets none."""
    if path in point:
        return point[path]
    parts = path.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        block = ".".join(parts[:depth])
        if block in point:
            return value_at(point[block], ".".join(parts[depth:]), NOT_SWEPT)
    return NOT_SWEPT


def _validate(content: dict[str, Any], point: Point, model: type[C], where: str) -> C:
    """Validate the options of one point; an error names the swept values of that point."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        message = describe_errors(error, content, where, model).replace(f"{where}: ", f"{where}.")
        values = ", ".join(f"{path}={value!r}" for path, value in point.items())
        raise InputError(f"{message}\n  at grid point {values}") from None
