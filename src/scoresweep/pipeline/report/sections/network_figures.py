"""Figures of the networks: training, score error, recovered densities and fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.plots import (
    Axis,
    Line,
    LineChart,
    fields,
    is_wide_range,
    pdf,
    score_and_density,
)
from scoresweep.pipeline.report.plots.animation import animation
from scoresweep.pipeline.report.sections.captioned_figure import (
    CaptionedFigure,
    by_configuration,
    captioned,
    configuration_lines,
    file_name,
    incomparable_axes,
    level_lines,
    mean_line,
    title_suffix,
    to_frame,
)
from scoresweep.pipeline.report.statistics.summary import group_by_axes
from scoresweep.pipeline.report.tables.report_data import ReportData

__all__ = [
    "density_animations",
    "errors_by_density",
    "final_level_loss",
    "recovered_densities",
    "score_errors",
    "training_curves",
    "vector_fields",
]

LOG_FACTOR = 20
"""Values that span more than this factor are shown on a logarithmic scale."""

SCORE_ERRORS = {
    "score_error_sigma2": (
        "Score error",
        "½ σ² E‖s − s*‖²",
        "Distance of the network's score s from the exact score s*, that of the smoothed training "
        "set (of the mixture if the data was drawn from one). A high error on training points "
        "means that the network is wrong. A network that memorises the training set has a low "
        "error on test points too, because it returns s* itself, which at small σ leads back to "
        "the nearest training point; one that generalises has a higher error there than on "
        "training points.",
    ),
    "score_error_relative": (
        "Relative score error",
        "E‖s − s*‖² / E‖s*‖²",
        "Distance of the network's score s from the exact score s*, relative to s*. At 1 the "
        "network is no better than a score of zero.",
    ),
    "dsm_loss": (
        "Denoising loss on fresh noise",
        "½ E‖σs + z‖²",
        "Loss on training points (solid) and test points (dashed). The two agree while the network "
        "generalises; if test points lie above training points, it has begun to memorise those.",
    ),
    "asymmetry_relative": (
        "Asymmetry of the Jacobian",
        "E‖J − Jᵀ‖² / E‖J‖²",
        "A score is a gradient, so its Jacobian is symmetric and this is 0. Independent random "
        "entries give about 2, a purely rotational field 4.",
    ),
}
"""Variable to title, formula and caption."""

MIN_EXACT_LOSS = 0.05
"""Fraction of a network's least loss below which the loss of the exact score is not drawn."""

CURVES = {
    "loss": ("training_loss", "Training loss", "Mean since the previous point."),
    "gradient_norm": ("gradient_norm", "Gradient norm", "Before clipping."),
    "learning_rate": ("learning_rate", "Learning rate", "Of the optimizer."),
    "images_per_second": ("throughput", "Samples per second", "Over all processes."),
}
"""Variable to file name, title and caption."""

POINTS = {
    "test": ("test points with noise", ""),
    "uniform": (
        "uniform points",
        " They fill twice the width of the data, so most of them lie far from the data.",
    ),
}
"""Value of `split` to its name and a remark."""


def training_curves(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield what was recorded during training, and the loss of every level."""
    dataset = data.tree["training"].to_dataset()
    for variable, (name, title, caption) in CURVES.items():
        if variable in dataset and dataset[variable].notnull().any():
            frame = to_frame(dataset[[variable]]).dropna()
            lines = configuration_lines(frame, "step", variable, data.run_axes)
            axis = _loss_axis if variable == "loss" else _value_axis
            chart = LineChart(Axis("step"), axis(title.lower(), lines), lines)
            yield captioned(name, title, caption, chart, "Training curves")
    if "loss" in dataset and dataset["loss"].notnull().any():
        yield from _level_losses(data, dataset)


def _value_axis(title: str, lines: list[Line]) -> Axis:
    """Return an axis that is logarithmic if the values of `lines` span a wide range."""
    values = [value for line in lines for value in (*line.y, *(line.low or ()))]
    return Axis(title, is_wide_range(values, LOG_FACTOR))


def _loss_axis(title: str, lines: list[Line]) -> Axis:
    """Return an axis that is logarithmic if all values of `lines` are positive."""
    return Axis(title, min(value for line in lines for value in (*line.y, *(line.low or ()))) > 0)


def _level_losses(data: ReportData, dataset: xr.Dataset) -> Iterator[CaptionedFigure]:
    frame, panel = final_level_loss(dataset), "Loss of each noise level"
    if frame.empty:
        return
    lines = configuration_lines(frame, "sigma", "level_loss", data.run_axes)
    chart = LineChart(
        Axis("noise level σ", log=True), _loss_axis("loss of the level", lines), lines
    )
    caption = "Mean over the last fifth of the training, for each noise level."
    yield captioned("level_loss", "Loss at the end of the training", caption, chart, panel)
    history = to_frame(dataset[["run", "sigma", "level_loss"]])
    for where, part in by_configuration(data, history, "level_loss"):
        lines = level_lines(part, "step", "level_loss", "step")
        chart = LineChart(Axis("step"), _loss_axis("loss of the level", lines), lines)
        title = f"Loss during training{title_suffix(where)}"
        caption = f"Loss of single levels{title_suffix(where)}, at most eight of them."
        yield captioned(
            file_name("level_loss_history", *where.values()), title, caption, chart, panel
        )


def final_level_loss(dataset: xr.Dataset) -> pd.DataFrame:
    """Return the mean `level_loss` over the last fifth of each training, and `sigma`.

    There is a row for each run and each level that has a loss; none if there is only one level.
    """
    if "level_loss" not in dataset or dataset.sizes["level"] == 1:
        return pd.DataFrame()
    last = dataset["step"].where(dataset["loss"].notnull()).max("step")
    late = dataset["level_loss"].where(dataset["step"] > 0.8 * last)
    final = late.sum("step", min_count=1) / late.count("step")
    return to_frame(xr.Dataset({"level_loss": final, "sigma": dataset["sigma"]})).dropna()


def score_errors(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the score errors against σ, training points solid and test points dashed."""
    dataset = data.tree["score_error"].to_dataset()
    for name, (title, formula, caption) in SCORE_ERRORS.items():
        if name not in dataset:
            continue
        frame = error_frame(data, name)
        axes = [axis for axis in data.axes if axis in frame]
        lines = [
            *_split_lines(frame, name, axes, "train", "training points", "solid"),
            *_split_lines(frame, name, axes, "test", "test points", "dash"),
        ]
        if lines:
            y = Axis(f"{title.lower()}, {formula}", log=min(min(line.y) for line in lines) > 0)
            chart = LineChart(Axis("noise level σ", log=True), y, lines)
            yield captioned(name, title, caption, chart, "Score error by noise level")


def _split_lines(
    frame: pd.DataFrame,
    name: str,
    axes: list[str],
    split: str,
    suffix: str,
    dash: Literal["solid", "dash"],
) -> list[Line]:
    part = frame[frame["split"] == split]
    return configuration_lines(part, "sigma", name, axes, "level", suffix, dash)


def error_frame(data: ReportData, name: str) -> pd.DataFrame:
    """Return σ and the error `name` of every run and level.

    The exact score is included only for the denoising loss, which it minimises: its other
    errors are zero up to rounding. If its loss is nearly zero too (a memorised training set), it is
    left out, since it would squeeze all other lines.
    """
    frame = to_frame(data.tree["score_error"].to_dataset()[["sigma", name, "run"]])
    networks = frame[~frame["run"].isin(data.exact_runs)]
    is_too_low = frame[name].min() < MIN_EXACT_LOSS * networks[name].min()
    return networks if name != "dsm_loss" or is_too_low else frame


def errors_by_density(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the score error against the log density of its bin, a line for each level."""
    dataset = data.tree["score_error"].to_dataset()
    if "score_error_of_bin" not in dataset:
        return
    error, density = "score_error_of_bin", "log_density_of_bin"
    frame = to_frame(dataset[["run", "sigma", error, density]])
    for where, part in by_configuration(data, frame, error):
        for split, (points, remark) in POINTS.items():
            lines = level_lines(part[part["split"] == split], density, error, "density_bin")
            if not lines:
                continue
            caption = (
                f"Score error in quantile bins of the density log q_σ{title_suffix(where)}, on "
                f"{points}; one line for each noise level.{remark}"
            )
            name = file_name("score_error_by_density", *where.values(), split)
            title = f"{points[0].upper()}{points[1:]}{title_suffix(where)}"
            y = _value_axis("½ E‖s − s*‖²", lines)
            chart = LineChart(Axis("log density of the bin"), y, lines)
            yield captioned(name, title, caption, chart, "Score error by density")


def recovered_densities(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the densities recovered from scores of one-dimensional data, for each dataset."""
    dataset = data.tree["score_error"].to_dataset()
    if "density" not in dataset:
        return
    names = ["density_x", "density", "density_exact"]
    frame = to_frame(dataset[[*names, "density_tv"]]).dropna(subset=names)
    incomparable = [axis for axis in incomparable_axes(data) if axis in frame]
    axes = [axis for axis in data.axes if axis in frame and axis not in incomparable]
    for key, part in group_by_axes(frame, incomparable):
        where = dict(zip(incomparable, key, strict=True))
        x, at = "density_x", "density_point"
        exact = mean_line(part, x, "density_exact", at, "exact", colour="#999999", filled=True)
        lines = [exact, *configuration_lines(part, x, "density", axes, at)]
        lines = [line if line.name else replace(line, name="recovered") for line in lines]
        low, high = part["density_tv"].min(), part["density_tv"].max()
        caption = (
            f"Normalised integral of the network's score at the smallest noise level"
            f"{title_suffix(where)}, over the exact density at that level. Total variation "
            f"distance: {format_number(low)} to {format_number(high)}."
        )
        title = f"Density recovered from the score{title_suffix(where)}"
        chart = LineChart(Axis("x"), Axis("density"), lines)
        name = file_name("density", *where.values())
        yield captioned(name, title, caption, chart, "Density recovered from the score")


def density_animations(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield animations of score and density during training, for one-dimensional data.

    They show the first seed of each configuration with stored weights.
    """
    dataset = data.tree["score_error"].to_dataset()
    if "density_history" not in dataset:
        return
    for where, point in _first_seeds(data, dataset, "density_history", "kept_step"):
        x, exact = point["density_x"].to_numpy(), point["density_exact"].to_numpy()
        histories = zip(
            point["kept_step"].to_numpy().tolist(), point["density_history"].to_numpy(), strict=True
        )
        frames = [
            score_and_density(x, density, exact, f"score after {step:,} steps")
            for step, density in histories
        ]
        caption = (
            f"The network's score at the smallest noise level and its density during training"
            f"{title_suffix(where)}; the exact ones in grey. The PDF shows the last step."
        )
        name = file_name("fit", *where.values())
        title = f"Score during training{title_suffix(where)}"
        yield CaptionedFigure(name, title, caption, (animation(frames), pdf(frames[-1])))


def vector_fields(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield learned and exact scores in the plane, for the first seed of each configuration."""
    dataset = data.tree["score_error"].to_dataset()
    if "field_score" not in dataset:
        return
    for where, point in _first_seeds(data, dataset, "field_score", "field_level"):
        figure = fields(
            point["field_x"].to_numpy(),
            point["field_sigma"].to_numpy().tolist(),
            point["field_score"].to_numpy(),
            point["field_exact"].to_numpy(),
        )
        caption = (
            f"Exact score (left) and the network's (right){title_suffix(where)}, at the largest, "
            f"middle and smallest noise level. The length of an arrow is the square root of the "
            f"score's norm; the colour is the error in units of the noise, σ ‖s − s*‖."
        )
        title = f"Score field{title_suffix(where)}"
        yield captioned(file_name("field", *where.values()), title, caption, figure)


def _first_seeds(
    data: ReportData, dataset: xr.Dataset, name: str, along: str
) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Yield each configuration and its first seed, if the variable `name` has values."""
    runs = to_frame(dataset[["run"]]).assign(exists=1)
    outer = [str(dim) for dim in dataset[name].dims if dim in dataset["run"].dims]
    for where, part in by_configuration(data, runs, "exists"):
        point = dataset.sel(part.iloc[0][outer].to_dict())
        if point[name].notnull().any():
            yield where, point.dropna(along, how="all", subset=[name])
