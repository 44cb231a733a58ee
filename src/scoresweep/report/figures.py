"""The figures of the report, one function each; they take tables and return matplotlib figures.

Colours are Okabe and Ito's eight, which colour-blind people tell apart, and cividis. A figure is
narrow, so that its text stays readable on a phone.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from PIL import Image

from scoresweep.report.summary import (
    Metric,
    best,
    configurations,
    coordinate,
    describe,
    interval,
    is_repeat,
    number,
    words,
)

__all__ = [
    "curves",
    "densities",
    "error_by_density",
    "fields",
    "fit",
    "heat_map",
    "lines",
    "pairs",
    "png",
    "points",
    "score_error",
    "shares",
    "side_by_side",
    "spread",
    "walks",
]

LONG_LABEL = 45
"""Most characters of a label of a legend that stands in its panel."""

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}
WIDTH = 4.9
"""Inches."""
LETTERS = 12
"""Letters of a tick's label that fit in an inch."""
ANNOTATED = 120
"""Most cells of a heat map that carry their value."""
ANNOTATED_COLUMNS = 8
"""Most columns whose cells are wide enough for an interval."""
LONG_SPAN = 17
"""Letters of an interval above which it takes two lines of a cell."""

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the report's style and leave matplotlib's settings as they were."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Return a figure as a PNG file of 256 colours; equal figures give equal bytes."""
    drawn, small = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(drawn, format="png", dpi=dpi)
    # A third of the bytes, of which the page has 4/3 of all.
    image = Image.open(drawn).convert("RGB")
    image.quantize(dither=Image.Dither.NONE).save(small, "PNG")
    return small.getvalue()


@styled
def heat_map(summary: pd.DataFrame, metric: Metric, x: str, y: str) -> Figure:
    """Draw the mean of a metric over the axes `x` and `y`, with its interval in each cell.

    `summary` has one row for each cell (`summarise`). Bright is better; the best is outlined, of a
    metric that ranks.
    """
    columns, rows = _values(summary, x), _values(summary, y)
    mean = _cells(summary, "mean", x, y)
    below, beside = [_tick(v) for v in columns], [_tick(v) for v in rows]
    width = 1.4 + _inches(beside) + max(0.9, _inches(below) + 0.1) * len(columns)
    title = _wrapped(metric.title)
    text = title.count("\n") + max(label.count("\n") for label in below)
    height = 1.2 + 0.6 * len(rows) + 0.17 * text
    figure = Figure(figsize=(max(WIDTH, min(10.0, width)), max(2.0, min(9.0, height))))
    axes = figure.add_subplot()
    axes.grid(False)
    lower = metric.better == "lower"
    norm = _norm(mean)
    image = axes.imshow(mean, "cividis_r" if lower else "cividis", aspect="auto", norm=norm)
    axes.set_xticks(range(len(columns)), below)
    axes.set_yticks(range(len(rows)), beside)
    axes.set(xlabel=words(x), ylabel=words(y), title=title)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
    ticks = np.unique([np.nanmin(mean), np.nanmax(mean)])
    bar.set_ticks(list(ticks), labels=[number(tick) for tick in ticks])
    if mean.size <= ANNOTATED:
        few = len(columns) <= ANNOTATED_COLUMNS
        rows_of = {(row[y], row[x]): interval(row) for _, row in summary.iterrows()} if few else {}
        spans = [[rows_of.get((row, column), "") for column in columns] for row in rows]
        _annotate(axes, mean, spans, norm, lower)
    if not metric.caveat:
        top = best(summary, metric)
        at = columns.index(top[x]) - 0.5, rows.index(top[y]) - 0.5
        axes.add_patch(Rectangle(at, 1, 1, fill=False, edgecolor="#D55E00", linewidth=3))
    return figure


@styled
def lines(summary: pd.DataFrame, metric: Metric, x: str) -> Figure:
    """Draw the mean of a metric with its interval along the one axis `x`, and real samples'."""
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.add_subplot()
    ordered = summary.sort_values(x)
    values = ordered[x].tolist()
    mean, ends = ordered["mean"].to_numpy(), ordered[["low", "high"]].to_numpy().T
    error = np.nan_to_num(np.abs(ends - mean))
    if ordered[x].dtype.kind in "fiu":
        axes.errorbar(values, mean, error, marker="o", capsize=4)
        if min(values) > 0 and max(values) / min(values) >= 8:
            axes.set_xscale("log")
        axes.set_xticks(values, [coordinate(v) for v in values])
        axes.minorticks_off()
    else:
        axes.errorbar(range(len(values)), mean, error, marker="o", linestyle="", capsize=4)
        labels = [_tick(value) for value in values]
        figure.set_size_inches(max(WIDTH, (_inches(labels) + 0.1) * len(values)), 3.2)
        axes.set_xticks(range(len(values)), labels)
    means = summary[["real", "noise"]].mean()
    if np.isfinite(real := means["real"]):
        reference = metric.references(means)[0]
        axes.axhline(real, color="#666666", linestyle=":", label=reference)
        figure.legend(loc="outside lower left")
    axes.set(xlabel=words(x), title=_wrapped(metric.title))
    return figure


@styled
def score_error(frame: pd.DataFrame, column: str, title: str, axes: list[str]) -> Figure:
    """Draw a score error against σ, training points solid and test points dashed.

    `frame` has the columns `sigma`, `level`, `split`, `column` and the run's `axes`. A line is a
    configuration, its band goes from the least to the greatest of the seeds; one without a value,
    an empty place of the grid, is left out.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    panel = figure.add_subplot()
    keys = [axis for axis in axes if not is_repeat(axis)]
    shown = spread(list(configurations(frame.dropna(subset=column), keys)))
    for colour, (key, part) in zip(COLOURS, shown, strict=False):
        for split, style in (("train", "-"), ("test", "--")):
            curve = part[part["split"] == split].groupby("level")
            sigma = curve["sigma"].mean()
            panel.plot(sigma, curve[column].mean(), style, color=colour, marker=".")
            low, high = curve[column].min(), curve[column].max()
            panel.fill_between(sigma, low, high, color=colour, alpha=0.15, linewidth=0)
        label = describe(dict(zip(keys, key, strict=True)))
        panel.plot([], [], color=colour, label=label or None)
    panel.plot([], [], "-", color="#666666", label="training points")
    panel.plot([], [], "--", color="#666666", label="test points")
    panel.set(xscale="log", yscale="log", title=title, xlabel="noise level σ")
    _legend(figure, panel)
    return figure


@styled
def shares(frame: pd.DataFrame, kind: str) -> Figure:
    """Draw the columns of `frame` side by side: shares of each class, mode and so on (its index).

    The first column is what was drawn; the others, what it is compared with, are grey.
    """
    figure = Figure(figsize=(WIDTH, 3.2))
    panel = figure.add_subplot()
    at = np.arange(len(frame))
    width = 0.8 / len(frame.columns)
    colours = [COLOURS[0], "#bbbbbb", "#777777"]
    for index, (name, column) in enumerate(frame.items()):
        left = at - 0.4 + index * width
        panel.bar(left, column, width, align="edge", color=colours[index], label=str(name))
    if len(frame.columns) > 1:
        panel.legend(loc="upper right", ncols=len(frame.columns), columnspacing=1)
    panel.set_ylim(top=1.2 * panel.get_ylim()[1])
    panel.set_axisbelow(True)
    panel.set_xticks(at, [str(name) for name in frame.index])
    panel.yaxis.set_major_formatter(PercentFormatter(1))
    panel.set(xlabel=kind, title=f"share of samples in each {kind}")
    panel.grid(False, axis="x")
    return figure


@styled
def error_by_density(frame: pd.DataFrame, column: str, title: str) -> Figure:
    """Draw a score error against the log density of its bin, a line for each noise level.

    `frame` has the columns `split`, `level`, `sigma`, `density_bin`, `log_density_of_bin` and
    `column`; noisy test points and evenly spread ones get a panel each.
    """
    named = {"test": "test points with noise", "uniform": "evenly spread points"}
    splits = [s for s in named if frame.loc[frame["split"] == s, column].notna().any()]
    figure = Figure(figsize=(WIDTH * max(1.0, 0.75 * len(splits)), 3.4))
    panels = figure.subplots(1, len(splits), squeeze=False, sharey=True)[0]
    levels = spread(sorted(frame["level"].unique()))
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(levels)))
    for panel, split in zip(panels, splits, strict=True):
        for shade, level in zip(shades, levels, strict=True):
            part = frame[(frame["split"] == split) & (frame["level"] == level)]
            curve = part.groupby("density_bin")[["sigma", "log_density_of_bin", column]].mean()
            label = f"σ = {number(curve['sigma'].mean())}"
            panel.plot(
                curve["log_density_of_bin"], curve[column], marker=".", color=shade, label=label
            )
        panel.set(yscale="log", xlabel="log density of the bin", title=named[split])
    panels[0].set_ylabel(title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


@styled
def densities(frame: pd.DataFrame, axes: list[str]) -> Figure:
    """Draw recovered densities over the exact one, a line for each configuration of `axes`.

    `frame` has the columns `density_point`, `density_x`, `density`, `density_exact` and `axes`.
    """
    figure = Figure(figsize=(WIDTH, 3.4))
    panel = figure.add_subplot()
    keys = [axis for axis in axes if not is_repeat(axis)]
    whole = frame.groupby("density_point")[["density_x", "density_exact"]].mean()
    panel.fill_between(
        whole["density_x"], whole["density_exact"], color="#cccccc", linewidth=0, label="exact"
    )
    shown = spread(list(configurations(frame, keys)))
    for colour, (key, part) in zip(COLOURS, shown, strict=False):
        curve = part.groupby("density_point")
        x, density = curve["density_x"].mean(), curve["density"]
        label = describe(dict(zip(keys, key, strict=True))) or "recovered"
        panel.plot(x, density.mean(), color=colour, label=label)
        panel.fill_between(x, density.min(), density.max(), color=colour, alpha=0.15, linewidth=0)
    panel.set_ylim(bottom=0)
    panel.set(xlabel="x", title="density recovered from the score")
    _legend(figure, panel)
    return figure


@styled
def fit(
    x: np.ndarray[Any, Any],
    density: np.ndarray[Any, Any],
    exact: np.ndarray[Any, Any],
    title: str,
) -> Figure:
    """Draw a score on a line beside the exact one, and the densities (P,) that they stand for.

    Scores are the slopes of the log densities; the exact one sets the limits of both panels.
    """
    figure = Figure(figsize=(1.3 * WIDTH, 2.9))
    left, right = figure.subplots(1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        truth, found = (np.gradient(np.log(each), x) for each in (exact, density))
    left.plot(x, truth, color="#999999", label="exact")
    left.plot(x, found, color=COLOURS[0], label="network")
    room = 0.2 * np.ptp(truth)
    left.set(xlabel="x", title=title, ylim=(truth.min() - room, truth.max() + room))
    left.legend()
    right.fill_between(x, exact, color="#cccccc", linewidth=0)
    right.plot(x, density, color=COLOURS[0])
    right.set(xlabel="x", title="density", ylim=(0, 1.4 * exact.max()))
    return figure


@styled
def walks(states: np.ndarray[Any, Any], sigmas: Sequence[float]) -> Figure:
    """Draw the ways of points (K, L, D) down the ladder: against σ, or in the first two features.

    The states are those in which the points leave each level.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    panel = figure.add_subplot()
    if states.shape[2] == 1:
        panel.plot(sigmas, states[..., 0].T, linewidth=0.8, alpha=0.7)
        panel.set(xscale="log", xlabel="noise level σ", ylabel="x")
        panel.invert_xaxis()
    else:
        for way in states:
            panel.plot(*way[:, :2].T, linewidth=0.6, alpha=0.6, color="#999999")
        ends = states[:, -1]
        panel.scatter(ends[:, 0], ends[:, 1], s=6, color=COLOURS[0], zorder=3)
    panel.set_title("from the first level to the last")
    return figure


@styled
def fields(
    x: np.ndarray[Any, Any],
    sigmas: Sequence[float],
    learned: np.ndarray[Any, Any],
    exact: np.ndarray[Any, Any],
) -> Figure:
    """Draw the learned score of points in the plane beside the exact one, a row for each level.

    `x` (P, 2) is a regular grid, `learned` and `exact` are (L, P, 2). Arrows show the direction of
    the score, their length the root of its size; the colour is the error in units of the noise,
    σ ‖s − s*‖.
    """
    side = round(len(x) ** 0.5)
    figure = Figure(figsize=(1.45 * WIDTH, 0.2 + 0.66 * WIDTH * len(sigmas)))
    panels = figure.subplots(len(sigmas), 2, squeeze=False, sharex=True, sharey=True)
    cell = np.ptp(x, axis=0).max() / (side - 1)
    norm = LogNorm(1e-2, 1e1)
    for row, sigma, found, truth in zip(panels, sigmas, learned, exact, strict=True):
        error = sigma * np.linalg.norm(found - truth, axis=1)
        corners = x.reshape(side, side, 2)
        image = row[1].pcolormesh(
            corners[..., 0],
            corners[..., 1],
            error.reshape(side, side),
            norm=norm,
            cmap="YlOrRd",
            alpha=0.75,
            edgecolors="none",
            shading="nearest",
        )
        longest = np.linalg.norm(truth, axis=1).max() ** 0.5
        for panel, score, name in zip(row, (truth, found), ("exact", "network"), strict=True):
            size = np.linalg.norm(score, axis=1, keepdims=True)
            arrows = score / np.sqrt(np.maximum(size, 1e-12)) / longest * 1.4 * cell
            panel.quiver(
                *x.T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.004, pivot="mid"
            )
            panel.set_title(f"{name}, σ = {number(sigma)}")
            panel.set_aspect("equal")
            panel.grid(False)
    figure.colorbar(image, ax=panels[:, 1], label="σ ‖s − s*‖", shrink=0.7, extend="both")
    return figure


@styled
def side_by_side(images: Sequence[tuple[str, np.ndarray[Any, Any]]]) -> Figure:
    """Draw images (H, W[, 3]), each under its title, without smoothing."""
    figure = Figure(figsize=(2.9 * len(images), 3.1))
    panels = figure.subplots(1, len(images), squeeze=False)[0]
    for panel, (title, image) in zip(panels, images, strict=True):
        panel.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        panel.set_title(title, loc="center")
        panel.set_axis_off()
    return figure


@styled
def pairs(sheet: np.ndarray[Any, Any], rows: int) -> Figure:
    """Draw a sheet (H, W[, 3]) of `rows` rows of images, each over a row of their neighbours."""
    figure = Figure(figsize=(WIDTH, 0.85 * WIDTH * sheet.shape[0] / sheet.shape[1]))
    panel = figure.add_subplot()
    panel.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    centres = (np.arange(2 * rows) + 0.5) * sheet.shape[0] / (2 * rows)
    panel.set_yticks(centres, ["drawn", "nearest"] * rows)
    panel.set_xticks([])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.grid(False)
    return figure


@styled
def curves(frame: pd.DataFrame, x: str, y: str, axes: list[str], labels: dict[str, str]) -> Figure:
    """Draw `y` along `x`, one line for each configuration of the run's `axes`, banded over seeds.

    `labels` are the arguments `title`, `xlabel` and so on of matplotlib's `Axes.set`.
    """
    figure = Figure(figsize=(WIDTH, 3.3))
    panel = figure.add_subplot()
    keys = [axis for axis in axes if not is_repeat(axis)]
    for colour, (key, part) in zip(
        COLOURS, spread(list(configurations(frame, keys))), strict=False
    ):
        curve = part.dropna(subset=y).groupby(x)[y]
        label = describe(dict(zip(keys, key, strict=True)))
        mean = curve.mean()
        marker = "o" if len(mean) == 1 else None  # a line of one point is not seen
        panel.plot(mean, color=colour, marker=marker, label=label or None)
        panel.fill_between(
            mean.index, curve.min(), curve.max(), color=colour, alpha=0.15, linewidth=0
        )
    panel.set(**labels)
    if frame[y].min() > 0 and frame[y].max() > 20 * frame[y].min():
        panel.set_yscale("log")
    if keys:
        _legend(figure, panel)
    return figure


@styled
def points(
    drawn: np.ndarray[Any, Any] | None, real: np.ndarray[Any, Any], width: float = 2.6
) -> Figure:
    """Draw points (N, D) over real ones: a histogram, or a scatter of the two widest features.

    Without `drawn`, real ones alone. `width` is in inches; from 4 on there is room for a legend.
    """
    figure = Figure(figsize=(width, width))
    axes = figure.add_subplot()
    sets = [("real", real, "#bbbbbb"), *([] if drawn is None else [("drawn", drawn, COLOURS[0])])]
    features = np.sort(np.argsort(-real.std(axis=0), kind="stable")[:2])
    margin = 0.2 * np.ptp(real[:, features], axis=0)
    low, high = real[:, features].min(0) - margin, real[:, features].max(0) + margin
    if len(features) == 1:
        edges = np.linspace(low[0], high[0], 57)
        for label, values, colour in sets:
            density = np.histogram(values[:, 0], edges)[0] / len(values) / np.diff(edges)
            axes.stairs(density, edges, fill=label == "real", color=colour, label=label)
    else:
        for label, values, colour in sets:
            axes.scatter(values[:, features[0]], values[:, features[1]], 2, colour, label=label)
        centre, half = (low + high) / 2, (high - low).max() / 2
        low, high = centre - half, centre + half
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        if real.shape[1] > 2:
            axes.set(xlabel=f"feature {features[0] + 1}", ylabel=f"feature {features[1] + 1}")
    if width >= 4:
        figure.legend(loc="outside upper left", ncols=2, markerscale=3)
    axes.tick_params(labelsize=8)
    return figure


def _legend(figure: Figure, panel: Axes) -> None:
    """Put a legend into the panel, or below it where its labels are too long for that."""
    handles, labels = panel.get_legend_handles_labels()
    if max(map(len, labels)) <= LONG_LABEL:
        panel.legend()
        return
    width, height = figure.get_size_inches()
    lines = [textwrap.fill(label, 72) for label in labels]
    figure.set_size_inches(width, height + 0.17 * sum(line.count("\n") + 1 for line in lines))
    figure.legend(handles, lines, loc="outside lower left", fontsize=8)


def _wrapped(title: str) -> str:
    return textwrap.fill(title, 46)


def _tick(value: Any) -> str:
    """Write the value of an axis in short lines, the options of a block below its name."""
    name, _, options = coordinate(value).partition("(")
    lines = textwrap.wrap(options.removesuffix(")"), 20, break_long_words=False)
    return "\n".join([name, *lines])


def _inches(labels: list[str]) -> float:
    """Return the width of the longest line, about."""
    return max(len(line) for label in labels for line in label.split("\n")) / LETTERS


def _values(summary: pd.DataFrame, axis: str) -> list[Any]:
    """Return the values along an axis: numbers in rising order, texts as they come."""
    values = list(dict.fromkeys(summary[axis].tolist()))
    return sorted(values) if summary[axis].dtype.kind in "fiu" else values


def _cells(summary: pd.DataFrame, column: str, x: str, y: str) -> np.ndarray[Any, Any]:
    table = summary.pivot(index=y, columns=x, values=column)
    table = table.reindex(index=_values(summary, y), columns=_values(summary, x))
    return table.to_numpy(dtype=np.float64)


def _norm(mean: np.ndarray[Any, Any]) -> Normalize:
    """Return a logarithmic colour scale where the values span more than a factor of eight."""
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    return LogNorm(low, high) if low > 0 and high > 8 * low else Normalize(low, high)


def _annotate(
    axes: Axes,
    mean: np.ndarray[Any, Any],
    spans: list[list[str]],
    norm: Normalize,
    lower: bool,
) -> None:
    """Write mean and interval into the cells, dark on bright and bright on dark."""
    for (row, column), value in np.ndenumerate(mean):
        if not np.isfinite(value):
            axes.text(column, row, "missing", ha="center", va="center", color="#777777")
            continue
        share = float(norm(value))
        colour = "#111111" if (1 - share if lower else share) > 0.5 else "#ffffff"
        place: dict[str, Any] = {"ha": "center", "color": colour}
        span = spans[row][column]
        axes.text(column, row, number(value), va="bottom" if span else "center", **place)
        if span:
            lines = span if len(span) <= LONG_SPAN else span.replace(" to ", "\nto ")
            axes.text(column, row, lines, va="top", fontsize=8, linespacing=1, **place)


def spread(items: list[Any]) -> list[Any]:
    """Return at most as many items as there are colours, evenly spread over the list."""
    if len(items) <= len(COLOURS):
        return items
    chosen = np.linspace(0, len(items) - 1, len(COLOURS)).round().astype(int)
    return [items[index] for index in chosen]
