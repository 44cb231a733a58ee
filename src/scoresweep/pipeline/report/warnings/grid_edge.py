"""Whether the best value of an option is at the edge of its grid, and which to try next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import ValidationError

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_value, humanize
from scoresweep.pipeline.report.tables.axes import axis_options
from scoresweep.pipeline.report.tables.report_data import Finding
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.point import set_point

__all__ = ["edge_warnings", "grid_edges", "next_value"]

HALVINGS = 4
"""Number of times that a step beyond the grid is halved to find a valid value."""


def grid_edges(
    part: pd.DataFrame, row: pd.Series[Any], axes: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Return the axes along which the best has the smallest or largest of three or more numbers.

    Maps each axis to the formatted value and "smallest" or "largest".
    """
    edges = {}
    for axis in axes:
        values = part[axis].dropna().unique()
        if len(values) < 3 or not pd.api.types.is_numeric_dtype(values):
            continue
        for end, word in ((values.min(), "smallest"), (values.max(), "largest")):
            if row[axis] == end:
                edges[axis] = (format_value(end), word)
    return edges


def next_value(values: Sequence[float], *, largest: bool, part: float = 1.0) -> float:
    """Return the value that continues a grid beyond its end, with two digits.

    The grid continues by its last factor or by its last difference, whichever varies less within
    the grid. `part` makes the step shorter. Integers give an integer.
    """
    ordered = sorted(values)
    end, beside = ordered[-1 if largest else 0], ordered[-2 if largest else 1]
    beyond = end + part * (end - beside)
    if ordered[0] > 0 and (beyond <= 0 or _is_geometric(ordered)):
        beyond = end * (end / beside) ** part
    if all(float(value).is_integer() for value in values) and isinstance(values[0], int):
        return round(beyond)
    return float(f"{beyond:.2g}")


def _is_geometric(ordered: Sequence[float]) -> bool:
    """Return whether the factors between values vary less than their differences."""
    pairs = [*itertools.pairwise(ordered)]
    factors, steps = [b / a for a, b in pairs], [b - a for a, b in pairs]
    return max(factors) / min(factors) <= max(steps) / min(steps) * (1 + 1e-9)


def edge_warnings(
    plan: Plan, part: pd.DataFrame, row: pd.Series[Any], edges: Mapping[str, tuple[str, str]]
) -> Iterator[Finding]:
    """Yield a warning for each axis in `edges`, with the value to try next.

    Args:
        plan: the study.
        part: the rows of all configurations.
        row: a measured row of the best one.
        edges: what `grid_edges` returns.
    """
    options = axis_options(plan.study)
    for axis, (shown, word) in edges.items():
        name = humanize(axis)
        text = f"{name[:1].upper()}{name[1:]} {shown} is the {word} value tried; "
        values = sorted(set(part[axis].dropna().tolist()))
        value = values[-1] if word == "largest" else values[0]
        beyond = _valid_next(plan, row, options.get(axis, ""), values, word == "largest")
        if beyond is None:
            yield Finding("grid_edge", f"{text}values beyond it may be better.", {axis: value})
        else:
            text += f"values beyond it may be better: try {format_value(beyond)} next."
            yield Finding("grid_edge", text, {axis: value, "next": beyond})


def _valid_next(
    plan: Plan, row: pd.Series[Any], path: str, values: Sequence[float], largest: bool
) -> float | None:
    """Return the next value that the study accepts; None if none is found."""
    run, setting = plan.run(str(row["run"])), plan.setting(str(row["setting"]))
    if path in ("", "sample.training_step"):  # training longer adds steps
        return None
    for halvings in range(HALVINGS):
        value = next_value(values, largest=largest, part=0.5**halvings)
        is_new = value > values[-1] if largest else value < values[0]
        if is_new and _is_valid(plan, run, setting, path, value):
            return value
    return None


def _is_valid(plan: Plan, run: Run, setting: Setting, path: str, value: float) -> bool:
    """Return whether a run and a setting accept another value of an option."""
    block, _, option = path.partition(".")
    study = plan.study
    models: dict[str, tuple[Any, type[Any]]] = {
        "train": (run.train, study.train_model),
        "sample": (setting.sample, study.sample_model),
        "evaluate": (plan.evaluations[0].evaluate, study.evaluate_model),
    }
    config, model = models[block]
    try:
        changed = model.model_validate(set_point(config, model, {option: value}, {option: block}))
    except (ValidationError, InputError):
        return False
    train = changed if block == "train" else run.train
    sample = changed if block == "sample" else setting.sample
    return not any(sample.sampler.problems(sample.noise or train.noise))
