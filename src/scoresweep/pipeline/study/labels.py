"""Labels of blocks: names for the page, tables and figures that nothing computed depends on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import Config, content_hash, label_of
from scoresweep.pipeline.study.models import Study

__all__ = ["LabelledValue", "Labels", "axis_labels", "block_labels", "labels_hash"]

Labels = Mapping[str, Mapping[Any, str]]
"""Labels by axis and value."""

LabelledValue = tuple[str, Any, str | None]
"""Path of an axis in the study, such as "sample.sampler", one of its values, and its label."""


def axis_labels(
    values: Iterable[LabelledValue], names: Mapping[str, str], where: str
) -> dict[str, dict[Any, str]]:
    """Return the labels of each axis that has some; the other values keep their own names.

    `names` are the axes by their paths. Raises `InputError` if a value has two labels, or two
    values have one.
    """
    labels: dict[str, dict[Any, str]] = {}
    shown: dict[str, dict[Any, None]] = {}
    for path, value, label in values:
        shown.setdefault(path, {})[value] = None
        if label is None:
            continue
        if (other := labels.setdefault(path, {}).setdefault(value, label)) != label:
            raise InputError(
                f"{where}: {path}: label: {label!r}: {value} has the label {other!r} elsewhere; "
                f"expected one label for each block"
            )
    for path, known in labels.items():
        _check_distinct(f"{where}: {path}", {v: known.get(v, str(v)) for v in shown[path]})
    return {names[path]: known for path, known in labels.items()}


def _check_distinct(where: str, shown: Mapping[Any, str]) -> None:
    """Raise `InputError` if two values of an axis have one name, also as part of a file name."""
    first: dict[str, Any] = {}
    for value, label in shown.items():
        other = first.setdefault(re.sub(r"[^\w.+=-]", "-", label).casefold(), value)
        if other != value:
            raise InputError(
                f"{where}: label: {label!r}: names both {other} and {value}; expected another "
                f"label for each block. Label the blocks in a list, as in "
                f"`{where.rpartition('.')[2]}: [{{name: ..., label: A}}, {{name: ..., label: B}}]`"
            )


def block_labels(study: Study) -> Iterator[tuple[str, str]]:
    """Yield the path and the label of each block outside the grids that has one."""
    for index, dataset in enumerate(study.dataset):
        yield from _labels_in(dataset, f"dataset[{index}]")
    for name in ("train", "sample"):
        block: Config = getattr(study, name)
        for key in type(block).model_fields:
            yield from _labels_in(getattr(block, key), f"{name}.{key}")


def _labels_in(block: Any, path: str) -> Iterator[tuple[str, str]]:
    if (label := label_of(block)) is not None:
        yield path, label


def labels_hash(study: Study, labels: Labels) -> str | None:
    """Return a hash of all labels, for the report that shows them; None without any."""
    content = [[axis, [*map(list, each.items())]] for axis, each in labels.items()]
    blocks = [*block_labels(study)]
    return content_hash(content, blocks) if content or blocks else None
