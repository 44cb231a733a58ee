"""Which figures a report shows, with their captions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from scoresweep.data.store import Split, read_paths, read_samples, read_split
from scoresweep.errors import InputError
from scoresweep.report import figures
from scoresweep.report.animation import animation
from scoresweep.report.sheets import contact_sheet, film, tile
from scoresweep.report.summary import (
    Metric,
    best,
    configurations,
    describe,
    is_repeat,
    number,
    summarise,
    words,
)
from scoresweep.report.tables import Tables
from scoresweep.study import Layout

__all__ = [
    "Picture",
    "cost_maps",
    "errors_by_density",
    "fits",
    "metric_maps",
    "overview",
    "recovered_densities",
    "sample_sheets",
    "score_errors",
    "shares",
    "signals_to_noise",
    "training_curves",
    "vector_fields",
    "walks",
]

MAPS = 6
"""Most heat maps of the main metric, one for each pair of axes."""

CONFIGURATIONS = 4
"""Most configurations of the runs that have figures of their own."""

COST_METRICS = 3
"""Most metrics whose costs have maps."""

POINTS = 2000
"""Most points of a picture."""

SHEETS = 24
"""Most settings whose samples are shown."""

LADDER = ("levels", "noise", "sigma_max", "sigma_min", "rho", "sigmas")
"""Axes of the noise ladder: the first choice for the rows of a heat map."""

BANDS = "Bands go from the least to the greatest of the seeds."

SCORE_ERRORS = {
    "dsm_loss": (
        "denoising loss on fresh noise, ½ E‖σs + z‖²",
        "How well the network denoises points of the training set (solid) and of the test set "
        "(dashed). The two lie together while it generalises; where test points lie above training "
        f"points, it has begun to learn those by heart. {BANDS}",
    ),
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
        "The same, as a share of the exact score: at 1 the network is no better than a score of "
        "zero.",
    ),
    "asymmetry_relative": (
        "asymmetry of the Jacobian, E‖J − Jᵀ‖² / E‖J‖²",
        "A score is a gradient, and its Jacobian symmetric: 0. Of independent random entries it is "
        f"about 2, of a field that only turns 4. {BANDS}",
    ),
}
"""Variable to title and caption."""


class Picture(NamedTuple):
    """A PNG file with its name (without suffix), title and caption."""

    name: str
    title: str
    caption: str
    png: bytes


# ── metrics over the axes ───────────────────────────────────────────────────────────────────────


def metric_maps(
    tables: Tables, wide: pd.DataFrame, metric: Metric, every_pair: bool
) -> Iterator[Picture]:
    """Yield maps of a metric over a run axis and a sampler axis; a line where only one varies.

    Datasets and points of the evaluation grid get a map each; they are never averaged.
    """
    apart = [axis for axis in tables.axes if is_apart(tables, axis)]
    for key, part in configurations(wide[wide[metric.name].notna()], apart):
        if part[metric.name].nunique() == 1:
            continue  # there is nothing to see in a map of one value
        where = dict(zip(apart, key, strict=True))
        pairs = _pairs(tables, part)
        for pair in pairs[: MAPS if every_pair else 1]:
            yield _metric_map(tables, part, metric, pair, where)


def is_apart(tables: Tables, axis: str) -> bool:
    """Tell whether the values of an axis cannot be averaged or compared."""
    return axis == "dataset" or axis in tables.evaluation_axes


def _pairs(tables: Tables, part: pd.DataFrame) -> list[list[str]]:
    """Return what to draw a metric over: pairs of axes, or the only axis that varies."""
    varied = [axis for axis in tables.axes if part[axis].nunique() > 1 and not is_repeat(axis)]
    varied = [axis for axis in varied if not is_apart(tables, axis)]
    rows = sorted((a for a in varied if a in tables.run_axes), key=lambda a: a not in LADDER)
    columns = [a for a in varied if a in tables.setting_axes]
    pairs = [[column, row] for row, column in itertools.product(rows, columns)]
    return pairs or [[a, b] for b, a in itertools.combinations(varied, 2)] or [[a] for a in varied]


def _metric_map(
    tables: Tables, part: pd.DataFrame, metric: Metric, pair: list[str], where: dict[str, Any]
) -> Picture:
    repeats = [axis for axis in tables.axes if is_repeat(axis) and part[axis].nunique() > 1]
    others = [
        axis for axis in tables.axes if axis not in [*pair, *repeats] and part[axis].nunique() > 1
    ]
    summary = summarise(_averaged(part, metric, [*pair, *repeats], others), metric, pair)
    title = f"{metric.title}, {describe(where)}" if where else metric.title
    draw = figures.heat_map if len(pair) == 2 else figures.lines
    figure = draw(summary, replace(metric, title=title), *pair)
    name = "_".join(["metric", metric.name, *pair, *(str(value) for value in where.values())])
    caption = _caption(summary, metric, pair, repeats, others)
    return Picture(_safe(name), title, caption, figures.png(figure))


def _averaged(
    part: pd.DataFrame, metric: Metric, keep: list[str], others: list[str]
) -> pd.DataFrame:
    """Average over the axes `others`, seed by seed, so that an interval speaks of seeds alone."""
    if not others:
        return part
    sides = [c for c in (f"{metric.name}_real", f"{metric.name}_noise") if c in part]
    return part.groupby(keep, as_index=False)[[metric.name, *sides]].mean()


def _caption(
    summary: pd.DataFrame, metric: Metric, pair: list[str], repeats: list[str], others: list[str]
) -> str:
    top = best(summary, metric)
    if metric.caveat:
        sentences = [f"{metric.better.capitalize()} is better, but {metric.caveat}."]
    else:
        found = f"{describe({a: top[a] for a in reversed(pair)})} with {number(top['mean'])}"
        sentences = [f"{metric.better.capitalize()} is better. Best: {found}."]
    if metric.count():
        sentences.append(f"Samples: {metric.count()}.")
    references = metric.references(summary[["real", "noise"]].mean())
    if references:
        sentences.append(f"For comparison: {', '.join(references)}.")
    if repeats:
        over = " and ".join(f"{words(axis)}s" for axis in repeats)
        sentences.append(f"Mean over {over}, and Student's 95 % interval of it{_scale(metric)}.")
    elif summary["low"].notna().any():
        sentences.append("With the 95 % interval of a single measurement.")
    if others:
        sentences.append(f"Averaged over {', '.join(words(axis) for axis in others)}.")
    return " ".join(sentences)


def _scale(metric: Metric) -> str:
    """Say how an interval is kept where values are possible."""
    if "valid_min" not in metric.about:
        return ""
    return ", cut off at 0 and 1" if "valid_max" in metric.about else ", on a logarithmic scale"


COST_CAPTIONS = {
    "sampler_cost": "Samples of the exact score against real test samples: what is left to gain is "
    "the sampler's.",
    "network_cost": "Samples of the network against those of the exact score with the same "
    "settings: what a better network would gain. Below zero the two errors make up for each "
    "other.",
}
"""Suffix of the variable to what a map of it says."""


def cost_maps(tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]) -> Iterator[Picture]:
    """Yield maps of what the sampler and what each network costs, by the first of the metrics."""
    split = [metric for metric in metrics if f"{metric.name}_sampler_cost" in wide]
    exact = wide["run"].isin(tables.exact_runs)
    told = [axis for axis in tables.run_axes if not is_repeat(axis) and _tells(wide[axis], exact)]
    for metric in split[:COST_METRICS]:
        for suffix, caption in COST_CAPTIONS.items():
            name = f"{metric.name}_{suffix}"
            title = f"{metric.title}: {words(suffix)}"
            about = {"units": metric.about.get("units", "1")}
            cost = Metric(name, title, "lower", about, metric.sizes)
            rows = wide[exact] if suffix == "sampler_cost" else wide[~exact]
            for key, part in configurations(rows, [] if suffix == "sampler_cost" else told):
                where = dict(zip(told, key, strict=False))
                named = replace(cost, title=f"{title}{_of(where)}")
                for picture in metric_maps(tables, part, named, every_pair=False):
                    file = _safe("_".join([picture.name, *(str(v) for v in where.values())]))
                    yield picture._replace(name=file, caption=f"{caption} {picture.caption}")


def _tells(values: pd.Series[Any], exact: pd.Series[bool]) -> bool:
    """Tell whether the values of an axis tell the exact score from networks."""
    return set(values[exact]).isdisjoint(values[~exact])


SHARES = {
    "class_share": ("class", {"class_share_real": "real test samples"}, "the classifier takes"),
    "shape_share": (
        "shape",
        {"shape_share_real": "real test samples", "shape_asked": "asked of the dataset"},
        "the nearest mask takes",
    ),
    "mode_share": (
        "mode",
        {"mode_share_real": "real test samples", "mode_weight": "weight in the mixture"},
        "the likeliest component takes",
    ),
}
"""Variable to what it is a share of, what it is compared with, and who says so."""


def shares(tables: Tables, wide: pd.DataFrame, metric: Metric) -> Iterator[Picture]:
    """Yield the shares of classes, shapes and modes among the samples of the best configuration.

    The best is that by `metric`, of each dataset and point of the evaluation grid.
    """
    sampling = tables.tree["sampling"].to_dataset()
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    apart = [axis for axis in tables.axes if is_apart(tables, axis)]
    for name in SHARES.keys() & sampling.keys():
        for key, part in configurations(wide[wide[metric.name].notna()], apart):
            top = best(summarise(part, metric, axes), metric)
            where = dict(zip(apart, key, strict=True))
            yield _shares(sampling, name, {axis: top[axis] for axis in axes}, where)


def _shares(sampling: xr.Dataset, name: str, top: dict[str, Any], where: dict[str, Any]) -> Picture:
    kind, references, who = SHARES[name]
    names = [n for n in (name, *references) if n in sampling]
    (along,) = {"class", "mode"} & set(sampling[name].dims)
    frame = _frame(sampling[names])
    here = frame[[axis for axis in top if axis in frame]]
    same = (here == pd.Series(top)[here.columns]).all(axis="columns")
    found = frame[same].groupby(along, sort=False)[names].mean()
    figure = figures.shares(found.rename(columns={name: "drawn", **references}), kind)
    caption = (
        f"What {who} the samples of the best setting for{_of(top)}. Least frequent: {kind} "
        f"{found[name].idxmin()} with {100 * found[name].min():.1f} %."
    )
    title = f"Share of each {kind}" + (f", {describe(where)}" if where else "")
    file = "_".join([f"{name}s", *(str(value) for value in where.values())])
    return Picture(_safe(file), title, caption, figures.png(figure))


def _of(point: dict[str, Any]) -> str:
    return f", {describe(point)}" if point else ""


# ── curves ──────────────────────────────────────────────────────────────────────────────────────


def score_errors(tables: Tables) -> Iterator[Picture]:
    """Yield figures of the score error against σ, where it was measured."""
    dataset = tables.tree["score_error"].to_dataset()
    for name, (title, caption) in SCORE_ERRORS.items():
        if name not in dataset:
            continue
        frame = _frame(dataset[["sigma", name, "run"]])
        if name != "dsm_loss":  # all others are zero, but for rounding
            frame = frame[~frame["run"].isin(tables.exact_runs)]
        if frame[name].isna().all():
            continue
        axes = [axis for axis in tables.axes if axis in frame]
        figure = figures.score_error(frame, name, title, axes)
        yield Picture(name, title, caption, figures.png(figure))


def errors_by_density(tables: Tables) -> Iterator[Picture]:
    """Yield the score error by the density of the points, for each configuration of the runs."""
    dataset = tables.tree["score_error"].to_dataset()
    if "score_error_of_bin" not in dataset:
        return
    names = ["run", "sigma", "score_error_of_bin", "log_density_of_bin"]
    frame = _frame(dataset[names])
    for where, part in _by_configuration(tables, frame, "score_error_of_bin"):
        figure = figures.error_by_density(part, "score_error_of_bin", "½ E‖s − s*‖²")
        caption = (
            f"Score error in quantile bins of the density log q_σ{_of(where)}: of test points with "
            f"noise, and of points that fill twice the width of the data evenly and so are mostly "
            f"where data is rare. Mean over seeds."
        )
        name = "_".join(["score_error_by_density", *(str(value) for value in where.values())])
        title = f"Score error by density{_of(where)}"
        yield Picture(_safe(name), title, caption, figures.png(figure))


def recovered_densities(tables: Tables) -> Iterator[Picture]:
    """Yield the densities of one-dimensional data that the scores stand for, by dataset."""
    dataset = tables.tree["score_error"].to_dataset()
    if "density" not in dataset:
        return
    names = ["density_x", "density", "density_exact"]
    frame = _frame(dataset[[*names, "density_tv"]]).dropna(subset=names)
    apart = [axis for axis in tables.axes if axis in frame and is_apart(tables, axis)]
    axes = [axis for axis in tables.axes if axis in frame and axis not in apart]
    for key, part in configurations(frame, apart):
        where = dict(zip(apart, key, strict=True))
        figure = figures.densities(part, [axis for axis in axes if part[axis].nunique() > 1])
        low, high = part["density_tv"].min(), part["density_tv"].max()
        caption = (
            f"The integral of the network's score at its smallest noise level, normalised"
            f"{_of(where)}, over the exact density at that level. Total variation: {number(low)} "
            f"to {number(high)}. {BANDS}"
        )
        name = "_".join(["density", *(str(value) for value in where.values())])
        yield Picture(_safe(name), "Recovered density", caption, figures.png(figure))


def fits(tables: Tables) -> Iterator[Picture]:
    """Yield how the score of one-dimensional data and its density grow, as a moving picture.

    It shows the first seed of each configuration whose weights were kept on their way.
    """
    dataset = tables.tree["score_error"].to_dataset()
    if "density_history" not in dataset:
        return
    inner = ("kept_step", "density_point")
    outer = [str(dim) for dim in dataset["density_history"].dims if dim not in inner]
    runs = _frame(dataset[["run"]]).assign(there=1)
    for where, part in _by_configuration(tables, runs, "there"):
        found = dataset[["density_x", "density_exact", "density_history"]].sel(
            part.iloc[0][outer].to_dict()
        )
        if found["density_history"].isnull().all():
            continue
        found = found.dropna("kept_step", how="all", subset=["density_history"])
        x, exact = found["density_x"].to_numpy(), found["density_exact"].to_numpy()
        frames = [
            figures.fit(x, density, exact, f"score after {step:,} steps")
            for step, density in zip(
                found["kept_step"].to_numpy().tolist(),
                found["density_history"].to_numpy(),
                strict=True,
            )
        ]
        caption = (
            f"The network's score at its smallest noise level, and the density that it stands for"
            f"{_of(where)}, while the network is trained; the exact ones in grey."
        )
        name = "_".join(["fit", *(str(value) for value in where.values())])
        yield Picture(_safe(name), f"The fit as it grows{_of(where)}", caption, animation(frames))


def vector_fields(tables: Tables) -> Iterator[Picture]:
    """Yield learned and exact score of points in the plane, of each configuration's first seed."""
    dataset = tables.tree["score_error"].to_dataset()
    if "field_score" not in dataset:
        return
    runs = _frame(dataset[["run"]]).assign(there=1)
    inner = ("field_level", "field_point", "feature")
    outer = [str(dim) for dim in dataset["field_score"].dims if dim not in inner]
    for where, part in _by_configuration(tables, runs, "there"):
        at = part.iloc[0][outer].to_dict()
        field = dataset[["field_x", "field_sigma", "field_score", "field_exact"]].sel(at)
        if field["field_score"].isnull().all():
            continue
        field = field.dropna("field_level", how="all", subset=["field_score"])
        figure = figures.fields(
            field["field_x"].to_numpy(),
            field["field_sigma"].to_numpy().tolist(),
            field["field_score"].to_numpy(),
            field["field_exact"].to_numpy(),
        )
        caption = (
            f"Exact score (left) and the network's (right){_of(where)}, at the largest, the middle "
            f"and the smallest noise level. The longer an arrow, the larger the score (its length "
            f"is the root of it); the colour is the error in units of the noise, σ ‖s − s*‖."
        )
        name = "_".join(["field", *(str(value) for value in where.values())])
        yield Picture(_safe(name), f"Score field{_of(where)}", caption, figures.png(figure))


def _by_configuration(
    tables: Tables, frame: pd.DataFrame, column: str
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the first configurations of trained networks, and the rows that they have."""
    axes = [axis for axis in tables.axes if axis in frame and not is_repeat(axis)]
    trained = frame[~frame["run"].isin(tables.exact_runs) & frame[column].notna()]
    there = configurations(trained, axes) if len(trained) else ()
    for key, part in itertools.islice(there, CONFIGURATIONS):
        if len(part):
            yield dict(zip(axes, key, strict=True)), part


def training_curves(tables: Tables) -> Iterator[Picture]:
    """Yield the training loss, and at its end the loss of every level."""
    dataset = tables.tree["training"].to_dataset()
    if "loss" not in dataset or dataset["loss"].isnull().all():
        return
    axes = [axis for axis in tables.run_axes if axis in dataset.coords]
    frame = _frame(dataset[["loss"]]).dropna()
    labels = {"xlabel": "step", "title": "training loss"}
    figure = figures.curves(frame, "step", "loss", axes, labels)
    caption = (
        "Mean since the last point of the curve. Bands go from least to greatest of the seeds."
    )
    yield Picture("training_loss", "Training loss", caption, figures.png(figure))
    if "level_loss" not in dataset or dataset.sizes["level"] == 1:
        return
    final = dataset["level_loss"].where(dataset["step"] > 0.8 * _last_step(dataset)).mean("step")
    frame = _frame(xr.Dataset({"level_loss": final, "sigma": dataset["sigma"]})).dropna()
    labels = {"xlabel": "noise level σ", "title": "loss of each level at the end", "xscale": "log"}
    figure = figures.curves(frame, "sigma", "level_loss", axes, labels)
    caption = "Mean over the last fifth of the training, for each noise level."
    yield Picture("level_loss", "Loss of each level", caption, figures.png(figure))


def _last_step(dataset: xr.Dataset) -> xr.DataArray:
    return dataset["step"].where(dataset["loss"].notnull()).max("step")


def _frame(dataset: xr.Dataset) -> pd.DataFrame:
    if not dataset.sizes:  # one run, and nothing that varies
        dataset = dataset.expand_dims("row")
    return dataset.to_dataframe().reset_index()


# ── the way of a sampler ────────────────────────────────────────────────────────────────────────


def signals_to_noise(tables: Tables) -> Iterator[Picture]:
    """Yield how large the score's part of a Langevin step is beside its noise, level by level."""
    dataset = tables.tree["sampling"].to_dataset()
    if "signal_to_noise" not in dataset:
        return
    frame = _frame(dataset[["sigma", "signal_to_noise"]]).dropna()
    axes = [axis for axis in tables.axes if axis in frame and frame[axis].nunique() > 1]
    labels = {"xlabel": "noise level σ", "title": "signal to noise of a step, √(η/2) ‖s‖ / √D"}
    figure = figures.curves(
        frame, "sigma", "signal_to_noise", axes, labels | {"xscale": "log", "yscale": "log"}
    )
    caption = (
        f"How large η s is beside √(2η) z in the last step at each level. Under the step rule "
        f"“variance” it is the same at every level where the score grows as 1/σ. {BANDS}"
    )
    yield Picture("signal_to_noise", "Signal-to-noise ratio", caption, figures.png(figure))


def walks(layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric) -> Iterator[Picture]:
    """Yield the ways down the ladder that the best configuration has kept, of each dataset."""
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    apart = [axis for axis in tables.axes if is_apart(tables, axis)]
    for key, part in configurations(wide[wide[metric.name].notna()], apart):
        top = best(summarise(part, metric, axes), metric)
        row = (part[(part[axes] == top[axes]).all(axis="columns")] if axes else part).iloc[0]
        where = {axis: top[axis] for axis in axes}
        if not _drawn(layout, row):
            continue
        paths = read_paths(layout.samples(row["run"], row["setting"]))
        if paths is None:
            continue
        is_image = paths.states.ndim == 5
        png = film(paths.states) if is_image else figures.png(figures.walks(*astuple(paths)))
        title = "Ways down the ladder"
        caption = (
            f"The states in which {len(paths.states)} samples leave the levels{_of(where)}"
            + (", the first level on the left." if is_image else ".")
        )
        name = "_".join(["walks", *(str(value) for value in key)])
        yield Picture(_safe(name), title, caption, png)


# ── samples ─────────────────────────────────────────────────────────────────────────────────────


def sample_sheets(
    layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric | None, datasets: list[str]
) -> Iterator[Picture]:
    """Yield a sheet of real samples for each dataset, and one for each setting.

    Of more settings than fit, the best by `metric` are shown. A store that is not there any more,
    or not whole, has no sheet.
    """
    real = {dataset: _real(layout, dataset) for dataset in datasets}
    for dataset, split in real.items():
        if split:
            title = f"Real: {dataset}"
            yield Picture(_safe(f"samples_real_{dataset}"), title, "test set", _sheet(split))
    shown = wide
    if metric and len(wide) > SHEETS:
        shown = wide.sort_values(metric.name, ascending=metric.better == "lower")
    for _, row in shown.head(SHEETS).iterrows():
        drawn = _drawn(layout, row)
        if drawn:
            title = describe({axis: row[axis] for axis in tables.axes}) or "samples"
            caption = f"{metric.title} {number(row[metric.name])}" if metric else ""
            name = _safe(f"samples_{row['run']}_{row['setting']}")
            beside = real[row.get("dataset", datasets[0])]
            yield Picture(name, title, caption, _sheet(drawn, beside))


def overview(
    layout: Layout, tables: Tables, wide: pd.DataFrame, metric: Metric | None, datasets: list[str]
) -> Iterator[Picture]:
    """Yield real samples and those of the best configuration (its first seed), if there are any.

    Of several datasets it shows the first.
    """
    first = wide[wide["dataset"] == datasets[0]] if "dataset" in wide else wide
    if metric is None or first[metric.name].isna().all():
        return
    axes = [axis for axis in tables.axes if not is_repeat(axis)]
    top = best(summarise(first, metric, axes), metric)
    same = first[(first[axes] == top[axes]).all(axis="columns")] if axes else first
    real, drawn = _real(layout, datasets[0]), _drawn(layout, same.iloc[0])
    if not real or not drawn:
        return
    where = describe({axis: top[axis] for axis in axes}) or "samples"
    if real.pixel_range is None:
        figure = figures.points(drawn.values[:POINTS], real.values[:POINTS], width=4.9)
    else:
        figure = figures.side_by_side([("real test images", tile(real)), (where, tile(drawn))])
    kind = "points" if real.pixel_range is None else "images"
    caption = f"Real {kind} and the first ones drawn with the best setting, {where}; not chosen."
    yield Picture("overview", "Real and drawn", caption, figures.png(figure))


def _real(layout: Layout, dataset: str) -> Split | None:
    """Return the test set; None where it is not there any more."""
    try:
        return read_split(layout.dataset_store(dataset), "test")
    except InputError:
        return None


def _drawn(layout: Layout, row: pd.Series[Any]) -> Split | None:
    """Return the samples of a setting; None where they are not there any more."""
    try:
        return read_samples(layout.samples(row["run"], row["setting"]))
    except InputError:
        return None


def _sheet(split: Split, real: Split | None = None) -> bytes:
    """Return the first images of a split; of points a picture, over `real` ones."""
    if split.pixel_range is not None:
        return contact_sheet(split)
    first = split.values[:POINTS]
    drawn, beside = (first, real.values[:POINTS]) if real else (None, first)
    return figures.png(figures.points(drawn, beside))


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "=._+-" else "-" for c in name)[:180]


def shown_settings(pictures: Sequence[Picture]) -> int:
    """Return how many of the pictures are sheets of a setting."""
    return sum(not picture.title.startswith("Real: ") for picture in pictures)
