"""Set the swept values of one point in a block of the study file."""

from __future__ import annotations

import copy
import functools
from typing import Any

from scoresweep.pipeline.errors import InputError, did_you_mean
from scoresweep.pipeline.study.config import Config
from scoresweep.pipeline.study.validation_errors import field_names

__all__ = ["Point", "set_point", "value_at"]

Point = dict[str, Any]
"""One point of a sweep: values by dotted path."""


def set_point(
    block: Config, model: type[Config], point: Point, places: dict[str, str]
) -> dict[str, Any]:
    """Return the options of `block` with the values of `point` set.

    A path that ends in `name` selects another method. It keeps the options that the study file
    gives, but not the defaults of the previous method.

    Args:
        block: the block of the study file.
        model: the block without its sweep.
        point: the swept values.
        places: where each path is in the study file, such as "config.yaml: train.grid".

    Raises:
        InputError: if a path does not exist, or the new method lacks an option that is given.
    """
    fields = set(model.model_fields)
    content = block.model_dump(include=fields)
    for path in sorted(point, key=_depth_and_name_first):
        *parents, last = path.split(".")
        value = copy.deepcopy(point[path])
        if parents and last == "name" and "name" in _names(model, tuple(parents)):
            _check_path(content, model, ".".join(parents), places[path])
            written = block.model_dump(include=fields, exclude_unset=True)
            given = _given(content, written, point, ".".join(parents))
            _refuse_unknown(model, parents, value, given, places[path])
            last, value = parents.pop(), {"name": value, **given}
        else:
            _check_path(content, model, path, places[path])
        value_at(content, ".".join(parents))[last] = value
    return content


def value_at(values: Any, path: str, default: Any = None) -> Any:
    """Return the value at a dotted path of nested dictionaries, or `default`; "" is the root."""
    for part in filter(None, path.split(".")):
        if not isinstance(values, dict) or part not in values:
            return default
        values = values[part]
    return values


def _depth_and_name_first(path: str) -> tuple[int, bool]:
    return path.count("."), not path.endswith(".name")


def _given(
    content: dict[str, Any], written: dict[str, Any], point: Point, block: str
) -> dict[str, Any]:
    """Return the options of a named block that are not defaults of its method."""
    given = value_at(content if block in point else written, block)
    before = value_at(content, block)
    if not isinstance(given, dict):
        return {}
    if isinstance(before, dict) and before.get("name") == point[f"{block}.name"]:
        given = before
    return {key: value for key, value in given.items() if key != "name"}


def _refuse_unknown(
    model: type[Config], parents: list[str], kind: Any, given: dict[str, Any], where: str
) -> None:
    """Raise `InputError` if the method `kind` lacks one of the given options."""
    known = _names(model, (*parents, str(kind)))
    unknown = [key for key in given if key not in known]
    if unknown:
        block, both = ".".join(parents), [key for key in given if key in known]
        before, after = ("".join(f", {k}: {given[k]}" for k in keys) for keys in (unknown, both))
        raise InputError(
            f"{where}.{block}.name: {kind}: has no option {', '.join(unknown)}, which "
            f"{block} sets; sweep whole blocks instead, each with its own options: "
            f"{block}: [{{name: ...{before}}}, {{name: {kind}{after}}}]"
        )


@functools.cache
def _names(model: type[Config], location: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys allowed at `location`; the name of a method follows the key of its block."""
    return tuple(field_names(model, list(location))) if location else tuple(model.model_fields)


def _check_path(content: Any, model: type[Config], path: str, where: str) -> None:
    """Raise `InputError` unless `path` exists in the block."""
    value, location, parents = content, list[str](), list[str]()
    for part in path.split("."):
        parent = ".".join(parents)
        if not isinstance(value, dict):
            found = "is not set" if value is None else f"is {value!r}"
            raise InputError(f"{where}.{path}: {parent!r} {found}, so it has no key {part!r}")
        known = dict.fromkeys([*value, *_names(model, tuple(location))])
        if part not in known:
            hint = did_you_mean(part, known)
            place = f"of {parent!r}" if parent else f"of this block{_top_hint(path)}"
            alone = ""
            if name := value.get("name"):
                place += f", which is {name}"
                alone = " To give an option to some methods only, sweep whole blocks."
            raise InputError(
                f"{where}.{path}: {part!r} is not a key {place}.{hint} "
                f"Expected one of {', '.join(known)}.{alone}"
            )
        value = value.get(part)
        location.append(part)
        parents.append(part)
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            location.append(value["name"])


def _top_hint(path: str) -> str:
    """Return a hint for a path that starts with the name of its block, or ""."""
    first = path.split(".")[0]
    is_block = first in {"train", "sample", "evaluate"}
    return f" (paths are relative to the block: remove '{first}.')" if is_block else ""
