"""Names and coordinate values of the swept axes."""

from __future__ import annotations

import json
from typing import Any

from scoresweep.pipeline.netcdf_attrs import VARIABLE_ATTRS
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.models import Study

__all__ = ["RESERVED", "axis_names", "axis_value", "is_repeat"]

RESERVED = {"sample", "metric", "value", "interval", *VARIABLE_ATTRS} | {
    *("mean", "low", "high", "n", "real", "noise"),
    *("networks", "samplings", "error", "freedom", "resampling"),
}
"""Variables of the report and columns of its tables, which no axis may be named after."""

MAX_LENGTH = 80
"""Maximum length of a block's name and options in a coordinate."""


def axis_names(
    study: Study, train: list[str], sample: list[str], evaluate: list[str]
) -> dict[str, dict[str, str]]:
    """Return the report's dimension name of every swept path, by block.

    A dimension is named after the last part of its path (`noise.levels` is `levels`). If that name
    is taken, the last two parts or the block and the last part are used (`sample_seed`). Variables
    of the report keep their names: `optimizer.learning_rate` becomes `optimizer_learning_rate`,
    because `learning_rate` is a curve. So do metrics of plugins.
    """
    own = (method.origin.declaration for method in study.methods if method.origin)
    taken = RESERVED | {each.name for each in own if each.kind == "metric"}
    names: dict[str, dict[str, str]] = {"dataset": {}}
    if len(study.dataset) > 1:
        names["dataset"]["dataset"] = "dataset"
        taken.add("dataset")
    for block, paths in (("train", train), ("sample", sample), ("evaluate", evaluate)):
        names[block] = {}
        for path in paths:
            parts = path.split(".")
            candidates = [parts[-1], "_".join(parts[-2:]), "_".join([block, *parts])]
            if len(parts) == 1:
                candidates[1] = f"{block}_{path}"
            names[block][path] = next(name for name in candidates if name not in taken)
            taken.add(names[block][path])
    return names


def is_repeat(axis: str) -> bool:
    """Return whether an axis repeats measurements (a seed)."""
    return axis == "seed" or axis.endswith("_seed")


def axis_value(value: Any) -> Any:
    """Return a value as a coordinate: a number or a string (name and options of a block)."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, dict) and "name" in value:
        options = [f"{key}={axis_value(v)}" for key, v in value.items() if key != "name"]
        text = f"{value['name']}({', '.join(options)})" if options else str(value["name"])
        return text if len(text) <= MAX_LENGTH else f"{value['name']}_{content_hash(value)[:4]}"
    return json.dumps(value, default=str, separators=(",", ":"))
