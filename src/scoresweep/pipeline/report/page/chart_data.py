"""What the page's interactive charts draw, as plain values for `page.js`.

There are two kinds. The explorer holds every measured number of every setting: the page itself
averages and picks, as `summarise` does. All other charts are lots of ready lines to choose from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.format import format_axes, format_value, humanize, is_repeat
from scoresweep.pipeline.report.plots import evenly_spaced
from scoresweep.pipeline.report.sections import is_incomparable_axis
from scoresweep.pipeline.report.sections.base import by_configuration, title_suffix, to_frame
from scoresweep.pipeline.report.sections.maps import COST_CAPTIONS, axis_pairs
from scoresweep.pipeline.report.sections.networks import SCORE_ERRORS, error_frame, final_level_loss
from scoresweep.pipeline.report.sections.samples import DENOISE
from scoresweep.pipeline.report.statistics.repeats import NETWORK, SAMPLING, student_half_width
from scoresweep.pipeline.report.statistics.summary import RankedMetric, group_by_axes
from scoresweep.pipeline.report.tables.axes import unique_values as grid_coordinate
from scoresweep.pipeline.report.tables.collect import ReportData

__all__ = ["charts", "explorer", "to_script"]

NUMBERS = 400_000
"""Most numbers of the explorer: of so many settings that they are more, fewer measures are held."""

CONFIGURATIONS = 24
"""Most configurations of networks that can be chosen in a chart of one of them."""

CURVE = 200
"""Most points of a curve."""

DIGITS = 5
"""Significant digits of a number."""

Line = dict[str, Any]
Chart = dict[str, Any]


def to_script(content: dict[str, Any]) -> str:
    """Return JSON that can stand in a <script>, whatever the texts in it are."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


# ── every setting ───────────────────────────────────────────────────────────────────────────────


def explorer(data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]) -> Chart | None:
    """Return every measured setting: the place of each along the swept axes, and its numbers.

    `wide` has a row for each. None where no axis varies. Measures beyond `NUMBERS` are left out,
    the last first; `left_out` counts them.
    """
    axes = [axis for axis in data.axes if wide[axis].nunique() > 1] if metrics else []
    if all(is_repeat(axis) for axis in axes):
        return None
    columns = list(_measures(wide, metrics))
    size = sum(1 + (f"{metric.name}_low" in wide) * 2 for metric, *_ in columns) / len(columns)
    held = columns[: max(1, int(NUMBERS / size / len(wide)))]
    pairs = axis_pairs(data, wide, metrics[0].name)
    x, *rest = pairs[0] if pairs else axes
    repeats = {column: wide[column].factorize()[0] for column in (NETWORK, SAMPLING)}
    most = max(int(codes.max()) + 1 for codes in repeats.values())
    return {
        "axes": [_axis(data, wide, axis) for axis in axes],
        "measures": [_measure(wide, metric, note, by) for metric, note, by in held],
        "left_out": len(columns) - len(held),
        "exact": set(wide["run"]) <= data.exact_runs,
        "networks": repeats[NETWORK].tolist(),
        "samplings": repeats[SAMPLING].tolist(),
        # The half width of the interval of a mean of n values with a standard error of 1, n ≥ 2.
        "student": [_number(float(student_half_width(1.0, n - 1))) for n in range(2, most + 1)],
        "x": axes.index(x),
        "y": axes.index(rest[0]) if rest else None,
    }


def _measures(
    wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Iterator[tuple[RankedMetric, str, int | None]]:
    """Yield each metric and what the sampler and the network cost of it, each with a remark.

    A cost comes with the place of its metric.
    """
    place = 0
    for metric in metrics:
        yield metric, metric.caveat, None
        costs = list(_costs(wide, metric))
        yield from ((cost, note, place) for cost, note in costs)
        place += 1 + len(costs)


def _costs(wide: pd.DataFrame, metric: RankedMetric) -> Iterator[tuple[RankedMetric, str]]:
    for suffix, note in COST_CAPTIONS.items():
        if f"{metric.name}_{suffix}" in wide and wide[f"{metric.name}_{suffix}"].notna().any():
            title = f"{metric.title}: {humanize(suffix)}"
            yield RankedMetric(f"{metric.name}_{suffix}", title, "lower", {}, metric.sizes), note


def _axis(data: ReportData, wide: pd.DataFrame, axis: str) -> dict[str, Any]:
    values = grid_coordinate(wide[axis].tolist()).tolist()
    slots = {value: index for index, value in enumerate(values)}
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return {
        "name": humanize(axis),
        "values": [format_value(value) for value in values],
        "numbers": values if numeric else None,
        "at": [slots[value] for value in wide[axis].tolist()],
        "repeat": is_repeat(axis),
        "apart": is_incomparable_axis(data, axis),
    }


def _measure(wide: pd.DataFrame, metric: RankedMetric, note: str, by: int | None) -> dict[str, Any]:
    """Return a measure; a cost ranks nothing: `by` is the place of the measure that it is of."""
    columns = {"value": metric.name, "low": f"{metric.name}_low", "high": f"{metric.name}_high"}
    real = f"{metric.name}_real"
    return {
        "title": metric.title,
        "lower": metric.better == "lower",
        "ranks": not metric.caveat and by is None,
        "by": by,
        "note": note,
        "count": metric.count(),
        "min": metric.about.get("valid_min"),
        "max": metric.about.get("valid_max"),
        "real": _number(wide[real].mean()) if real in wide else None,
        **{key: _numbers(wide[column]) for key, column in columns.items() if column in wide},
    }


# ── lines ───────────────────────────────────────────────────────────────────────────────────────


def charts(data: ReportData) -> dict[str, list[Chart]]:
    """Return the charts of ready lines, by the section of the page; each has its `choices`."""
    found = {
        "maps": [("Signal to noise of a Langevin step", _signals(data))],
        "score_errors": [
            ("Score error by noise level", _score_errors(data)),
            ("Score error by density", _by_density(data)),
            ("Density recovered from the score", _densities(data)),
        ],
        "curves": [
            ("Training curves", _training(data)),
            ("Loss of each noise level", _levels(data)),
        ],
    }
    drawn = {
        section: [
            {
                "title": title,
                "choices": [one for one in choices if any(n["y"] for n in one["lines"])],
            }
            for title, choices in listed
        ]
        for section, listed in found.items()
    }
    return {
        section: [chart for chart in listed if chart["choices"]]
        for section, listed in drawn.items()
    }


def _choice(
    name: str,
    caption: str,
    x: str,
    y: str,
    lines: list[Line],
    *,
    log_x: bool = False,
    log_y: bool | None = None,
) -> Chart:
    """Return what a chart shows when `name` is chosen; by default the numbers choose the scale."""
    values = [v for line in lines for v in line["y"] if v is not None]
    if log_y is None:
        log_y = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    return {
        "name": name,
        "caption": caption,
        "x": {"title": x, "log": log_x},
        "y": {"title": y, "log": log_y},
        "lines": lines,
    }


def _lines(
    frame: pd.DataFrame, x: str, y: str, axes: Sequence[str], at: str | None = None, **look: Any
) -> list[Line]:
    """Return a line for each configuration of `axes`, with a band from least to greatest seed.

    Points that share `at` (by default `x`) are averaged; of many configurations as many as there
    are colours are shown, evenly spread: `of` says of how many.
    """
    there = frame.dropna(subset=[x, y])
    keys = [axis for axis in axes if not is_repeat(axis) and there[axis].nunique() > 1]
    found = list(group_by_axes(there, keys))
    found.sort(key=lambda each: each[1].index[0])  # words in the order of the study, as their axis
    shown = evenly_spaced(found)
    if len(shown) < len(found):
        look["of"] = len(found)
    return [
        _line(part, x, y, at or x, format_axes(dict(zip(keys, key, strict=True))), colour=c, **look)
        for c, (key, part) in enumerate(shown)
    ]


def _line(frame: pd.DataFrame, x: str, y: str, at: str, name: str, **look: Any) -> Line:
    points = frame.groupby(at)
    table = pd.DataFrame({"x": points[x].mean(), "y": points[y].mean()})
    table["low"], table["high"] = points[y].min(), points[y].max()
    every = max(1, -(-len(table) // CURVE))
    table = table.iloc[(len(table) - 1) % every :: every]
    banded = bool((table["low"] < table["high"]).any())
    columns = ["x", "y", *(["low", "high"] if banded else [])]
    return {"name": name, **look, **{column: _numbers(table[column]) for column in columns}}


def _signals(data: ReportData) -> Iterator[Chart]:
    dataset = data.tree["sampling"].to_dataset()
    if "signal_to_noise" not in dataset:
        return
    frame = to_frame(dataset[["sigma", "signal_to_noise"]]).dropna()
    axes = [axis for axis in data.axes if axis in frame and frame[axis].nunique() > 1]
    axes = [axis for axis in axes if axis != DENOISE]  # a step after the last of these
    caption = "How large η s is beside √(2η) z in the last step at each level."
    lines = _lines(frame, "sigma", "signal_to_noise", axes)
    title = "√(η/2) ‖s‖ / √D"
    yield _choice("", caption, "noise level σ", title, lines, log_x=True, log_y=True)


def _score_errors(data: ReportData) -> Iterator[Chart]:
    dataset = data.tree["score_error"].to_dataset()
    for name, (title, caption) in SCORE_ERRORS.items():
        if name not in dataset:
            continue
        frame = error_frame(data, name)
        axes = [axis for axis in data.axes if axis in frame]
        lines = [
            line | {"name": ", ".join(part for part in (line["name"], f"{split} points") if part)}
            for split, dash in (("training", "solid"), ("test", "dash"))
            for line in _lines(
                frame[frame["split"] == split.replace("training", "train")],
                "sigma",
                name,
                axes,
                "level",
                dash=dash,
            )
        ]
        if lines:
            short = title.split(",")[0]
            yield _choice(short, caption, "noise level σ", title, lines, log_x=True)


def _by_density(data: ReportData) -> Iterator[Chart]:
    dataset = data.tree["score_error"].to_dataset()
    if "score_error_of_bin" not in dataset:
        return
    error, density = "score_error_of_bin", "log_density_of_bin"
    frame = to_frame(dataset[["run", "sigma", error, density]])
    named = {"test": "test points with noise", "uniform": "evenly spread points"}
    for where, part in by_configuration(data, frame, error, CONFIGURATIONS):
        for split, name in named.items():
            points = part[part["split"] == split].dropna(subset=[error, density])
            levels = [group for _, group in points.groupby("level")]
            lines = [
                _line(
                    group,
                    density,
                    error,
                    "density_bin",
                    f"σ = {group['sigma'].mean():.3g}",
                    shade=_number(index / max(1, len(levels) - 1)),
                )
                for index, group in enumerate(levels)
            ]
            if lines:
                caption = (
                    f"Score error in quantile bins of the density log q_σ{title_suffix(where)}, "
                    f"of {name}"
                    f"{EVEN if split == 'uniform' else ''}; a line for each noise level."
                )
                title = ", ".join(part for part in (format_axes(where), name) if part)
                yield _choice(title, caption, "log density of the bin", "½ E‖s − s*‖²", lines)


EVEN = ": they fill twice the width of the data and so are mostly where data is rare"


def _densities(data: ReportData) -> Iterator[Chart]:
    dataset = data.tree["score_error"].to_dataset()
    if "density" not in dataset:
        return
    names = ["density_x", "density", "density_exact"]
    frame = to_frame(dataset[names]).dropna(subset=names)
    apart = [axis for axis in data.axes if axis in frame and is_incomparable_axis(data, axis)]
    axes = [axis for axis in data.axes if axis in frame and axis not in apart]
    for key, part in group_by_axes(frame, apart):
        varied = [axis for axis in axes if part[axis].nunique() > 1]
        exact = _line(part, "density_x", "density_exact", "density_point", "exact", fill=True)
        lines = [exact, *_lines(part, "density_x", "density", varied, "density_point")]
        caption = "The integral of the network's score at its smallest noise level, normalised."
        name = format_axes(dict(zip(apart, key, strict=True)))
        yield _choice(name, caption, "x", "density", lines, log_y=False)


CURVES = {
    "loss": ("training loss", "Mean since the last point of the curve."),
    "gradient_norm": ("norm of the gradient", "Before it is clipped, at the point of the curve."),
    "learning_rate": ("learning rate", "Of the optimiser."),
    "images_per_second": ("samples per second", "Over all processes."),
}
"""Variable to name and caption."""


def _training(data: ReportData) -> Iterator[Chart]:
    dataset = data.tree["training"].to_dataset()
    for variable, (name, caption) in CURVES.items():
        if variable in dataset and dataset[variable].notnull().any():
            frame = to_frame(dataset[[variable]]).dropna()
            lines = _lines(frame, "step", variable, data.run_axes)
            yield _choice(name, caption, "step", name, lines)


def _levels(data: ReportData) -> Iterator[Chart]:
    dataset = data.tree["training"].to_dataset()
    frame = final_level_loss(dataset)
    if frame.empty:
        return
    lines = _lines(frame, "sigma", "level_loss", data.run_axes)
    caption = "Mean over the last fifth of the training."
    yield _choice("at the end", caption, "noise level σ", "loss of the level", lines, log_x=True)
    history = to_frame(dataset[["run", "sigma", "level_loss"]])
    for where, part in by_configuration(data, history, "level_loss", CONFIGURATIONS):
        levels = evenly_spaced([group for _, group in part.groupby("level")])
        lines = [
            _line(
                group.dropna(subset="level_loss"),
                "step",
                "level_loss",
                "step",
                f"σ = {group['sigma'].mean():.3g}",
                shade=_number(index / max(1, len(levels) - 1)),
            )
            for index, group in enumerate(levels)
        ]
        name = f"while it trains{title_suffix(where)}"
        caption = f"The loss of single levels{title_suffix(where)}, at most eight of them."
        yield _choice(name, caption, "step", "loss of the level", lines)


def _number(value: float) -> float | None:
    """Return a number with as many digits as a chart needs; None where there is none."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _numbers(values: pd.Series[Any]) -> list[float | None]:
    return [_number(value) for value in values.tolist()]
