"""What is known of the networks: their training, their score error, what they stand for."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import xarray as xr

from scoresweep.pipeline.report import plots
from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.plots.animation import animation
from scoresweep.pipeline.report.sections.base import (
    BANDS,
    CaptionedFigure,
    by_configuration,
    file_name,
    is_incomparable_axis,
    title_suffix,
    to_frame,
)
from scoresweep.pipeline.report.statistics.summary import group_by_axes
from scoresweep.pipeline.report.tables.collect import ReportData

__all__ = [
    "SCORE_ERRORS",
    "density_animations",
    "error_frame",
    "errors_by_density",
    "final_level_loss",
    "recovered_densities",
    "score_errors",
    "training_curves",
    "vector_fields",
]

SCORE_ERRORS = {
    "score_error_sigma2": (
        "score error, ½ σ² E‖s − s*‖²",
        "How far the network's score s is from s*, the exact score of the smoothed training set "
        "(of the mixture, where the data was drawn from one). "
        "High on training points: the network is wrong, rather than the sampler. A network that "
        "has learned the training set by heart has no error on test points either, for it returns "
        "s* itself, which at small σ leads back to the nearest training point; one that "
        f"generalises lies above its training points there. {BANDS}",
    ),
    "score_error_relative": (
        "relative score error, E‖s − s*‖² / E‖s*‖²",
        "How far the network's score s is from the exact score s*, as a share of that: at 1 the "
        f"network is no better than a score of zero. {BANDS}",
    ),
    "dsm_loss": (
        "denoising loss on fresh noise, ½ E‖σs + z‖²",
        "How well the network denoises points of the training set (solid) and of the test set "
        "(dashed). The two lie together while it generalises; where test points lie above training "
        f"points, it has begun to learn those by heart. {BANDS}",
    ),
    "asymmetry_relative": (
        "asymmetry of the Jacobian, E‖J − Jᵀ‖² / E‖J‖²",
        "A score is a gradient, and its Jacobian symmetric: 0. Of independent random entries it is "
        f"about 2, of a field that only turns 4. {BANDS}",
    ),
}
"""Variable to title and caption."""


SQUEEZED = 0.05
"""Share of the least loss of a network below which the exact score's is not drawn."""


def training_curves(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the training loss, and at its end the loss of every level."""
    dataset = data.tree["training"].to_dataset()
    if "loss" not in dataset or dataset["loss"].isnull().all():
        return
    axes = [axis for axis in data.run_axes if axis in dataset.coords]
    frame = to_frame(dataset[["loss"]]).dropna()
    labels = {"xlabel": "step", "title": "training loss"}
    figure = plots.curves(frame, "step", "loss", axes, labels)
    caption = (
        "Mean since the last point of the curve. Bands go from least to greatest of the seeds."
    )
    yield CaptionedFigure(
        "training_loss", "Training loss", caption, plots.png(figure), charted=True
    )
    frame = final_level_loss(dataset)
    if frame.empty:
        return
    labels = {"xlabel": "noise level σ", "title": "loss of each level at the end", "xscale": "log"}
    figure = plots.curves(frame, "sigma", "level_loss", axes, labels)
    caption = "Mean over the last fifth of the training, for each noise level."
    yield CaptionedFigure(
        "level_loss", "Loss of each level", caption, plots.png(figure), charted=True
    )


def final_level_loss(dataset: xr.Dataset) -> pd.DataFrame:
    """Return mean `level_loss` over the last fifth of each training, and `sigma`, run by run.

    There is a row for each level that has a loss: none where there is one level or no loss at all.
    """
    if "level_loss" not in dataset or dataset.sizes["level"] == 1:
        return pd.DataFrame()
    last = dataset["step"].where(dataset["loss"].notnull()).max("step")
    late = dataset["level_loss"].where(dataset["step"] > 0.8 * last)
    final = late.sum("step", min_count=1) / late.count("step")
    return to_frame(xr.Dataset({"level_loss": final, "sigma": dataset["sigma"]})).dropna()


def score_errors(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield figures of the score error against σ, where it was measured."""
    dataset = data.tree["score_error"].to_dataset()
    for name, (title, caption) in SCORE_ERRORS.items():
        if name not in dataset:
            continue
        frame = error_frame(data, name)
        if frame[name].isna().all():
            continue
        axes = [axis for axis in data.axes if axis in frame]
        figure = plots.score_error(frame, name, title, axes)
        yield CaptionedFigure(name, title, caption, plots.png(figure), charted=True)


def error_frame(data: ReportData, name: str) -> pd.DataFrame:
    """Return σ and the error `name` of every run and level, of the exact score where that tells.

    Its errors are zero, but for rounding. Its denoising loss is the least that a network can have;
    that of a training set learned by heart is nearly zero, too, and would squeeze all others.
    """
    frame = to_frame(data.tree["score_error"].to_dataset()[["sigma", name, "run"]])
    networks = frame[~frame["run"].isin(data.exact_runs)]
    squeezed = frame[name].min() < SQUEEZED * networks[name].min()
    return networks if name != "dsm_loss" or squeezed else frame


def errors_by_density(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the score error by the density of the points, for each configuration of the runs."""
    dataset = data.tree["score_error"].to_dataset()
    if "score_error_of_bin" not in dataset:
        return
    names = ["run", "sigma", "score_error_of_bin", "log_density_of_bin"]
    frame = to_frame(dataset[names])
    for where, part in by_configuration(data, frame, "score_error_of_bin"):
        figure = plots.error_by_density(part, "score_error_of_bin", "½ E‖s − s*‖²")
        caption = (
            f"Score error in quantile bins of the density log q_σ{title_suffix(where)}: of test "
            f"points with "
            f"noise, and of points that fill twice the width of the data evenly and so are mostly "
            f"where data is rare. Mean over seeds."
        )
        name = file_name("score_error_by_density", *where.values())
        title = f"Score error by density{title_suffix(where)}"
        yield CaptionedFigure(name, title, caption, plots.png(figure), charted=True)


def recovered_densities(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield the densities of one-dimensional data that the scores stand for, by dataset."""
    dataset = data.tree["score_error"].to_dataset()
    if "density" not in dataset:
        return
    names = ["density_x", "density", "density_exact"]
    frame = to_frame(dataset[[*names, "density_tv"]]).dropna(subset=names)
    apart = [axis for axis in data.axes if axis in frame and is_incomparable_axis(data, axis)]
    axes = [axis for axis in data.axes if axis in frame and axis not in apart]
    for key, part in group_by_axes(frame, apart):
        where = dict(zip(apart, key, strict=True))
        figure = plots.densities(part, [axis for axis in axes if part[axis].nunique() > 1])
        low, high = part["density_tv"].min(), part["density_tv"].max()
        caption = (
            f"The integral of the network's score at its smallest noise level, normalised"
            f"{title_suffix(where)}, over the exact density at that level. Total variation: "
            f"{format_number(low)} "
            f"to {format_number(high)}. {BANDS}"
        )
        name = file_name("density", *where.values())
        yield CaptionedFigure(name, "Recovered density", caption, plots.png(figure), charted=True)


def density_animations(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield how the score of one-dimensional data and its density grow, as a moving picture.

    It shows the first seed of each configuration whose weights were kept on their way.
    """
    dataset = data.tree["score_error"].to_dataset()
    if "density_history" not in dataset:
        return
    inner = ("kept_step", "density_point")
    outer = [str(dim) for dim in dataset["density_history"].dims if dim not in inner]
    runs = to_frame(dataset[["run"]]).assign(there=1)
    for where, part in by_configuration(data, runs, "there"):
        found = dataset[["density_x", "density_exact", "density_history"]].sel(
            part.iloc[0][outer].to_dict()
        )
        if found["density_history"].isnull().all():
            continue
        found = found.dropna("kept_step", how="all", subset=["density_history"])
        x, exact = found["density_x"].to_numpy(), found["density_exact"].to_numpy()
        frames = [
            plots.score_and_density(x, density, exact, f"score after {step:,} steps")
            for step, density in zip(
                found["kept_step"].to_numpy().tolist(),
                found["density_history"].to_numpy(),
                strict=True,
            )
        ]
        caption = (
            f"The network's score at its smallest noise level, and the density that it stands for"
            f"{title_suffix(where)}, while the network is trained; the exact ones in grey."
        )
        name = file_name("fit", *where.values())
        yield CaptionedFigure(
            name, f"The fit as it grows{title_suffix(where)}", caption, animation(frames)
        )


def vector_fields(data: ReportData) -> Iterator[CaptionedFigure]:
    """Yield learned and exact score of points in the plane, of each configuration's first seed."""
    dataset = data.tree["score_error"].to_dataset()
    if "field_score" not in dataset:
        return
    runs = to_frame(dataset[["run"]]).assign(there=1)
    inner = ("field_level", "field_point", "feature")
    outer = [str(dim) for dim in dataset["field_score"].dims if dim not in inner]
    for where, part in by_configuration(data, runs, "there"):
        at = part.iloc[0][outer].to_dict()
        field = dataset[["field_x", "field_sigma", "field_score", "field_exact"]].sel(at)
        if field["field_score"].isnull().all():
            continue
        field = field.dropna("field_level", how="all", subset=["field_score"])
        figure = plots.fields(
            field["field_x"].to_numpy(),
            field["field_sigma"].to_numpy().tolist(),
            field["field_score"].to_numpy(),
            field["field_exact"].to_numpy(),
        )
        caption = (
            f"Exact score (left) and the network's (right){title_suffix(where)}, at the largest, "
            f"the middle "
            f"and the smallest noise level. The longer an arrow, the larger the score (its length "
            f"is the root of it); the colour is the error in units of the noise, σ ‖s − s*‖."
        )
        name = file_name("field", *where.values())
        yield CaptionedFigure(name, f"Score field{title_suffix(where)}", caption, plots.png(figure))
