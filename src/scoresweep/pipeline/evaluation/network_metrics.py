"""Metrics of a network compared with the exact score, as labelled variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from scoresweep.metrics.asymmetry import ASYMMETRY_NAMES, asymmetry
from scoresweep.metrics.density_bins import DENSITY_BIN_NAMES, error_by_density
from scoresweep.metrics.recovered_density import recover_density
from scoresweep.metrics.score_error import SCORE_ERROR_NAMES, MeanEstimate, score_error
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.evaluation.subsets import random_subset
from scoresweep.pipeline.netcdf_attrs import label
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.system.console import say
from scoresweep.score import ScoreWithDensity
from scoresweep.seeds import generator_for

__all__ = ["level_dataset", "measure_network"]

FIELD_SIDE = 21
"""Points per side of the grid on which the score field is stored."""

UNITS = {
    "score_error": "data^-2",
    "score_error_of_bin": "data^-2",
    "asymmetry": "data^-4",
    "log_density_of_bin": "nat",
}
"""Units of variables that are not dimensionless."""

BETTER = {"score_cosine": "higher", "log_density_of_bin": None}
"""Better direction of variables for which it is not "lower"."""

Row = dict[str, MeanEstimate]
"""Estimates at one level, by name."""
BinRow = dict[str, list[MeanEstimate]]
"""Estimates at one level for each density bin, by name."""


def measure_network(
    network: ScoreNetwork,
    exact: ScoreWithDensity,
    clean: Mapping[str, Tensor],
    evaluate: Evaluate,
    advance: Callable[[int], None],
    history: Mapping[int, ScoreNetwork] | None = None,
) -> xr.Dataset:
    """Compare a network's score with the exact score of the data, at each noise level.

    Args:
        network: the network.
        exact: the exact score.
        clean: samples (N, ...) by split, including "train".
        evaluate: what to measure.
        advance: called with 1 after each split and level.
        history: networks by training step, to record their densities.
    """
    sigmas: list[float] = network.sigmas.double().tolist()
    attributes = {"seed": evaluate.seed}
    rows, bins = _estimate_levels(network, exact, clean, evaluate, advance)
    parts = [level_dataset(rows, sigmas, attributes)]
    train = clean["train"]
    if evaluate.density_bins:
        if train.ndim == 2:
            bins["uniform"] = _uniform_bins(network, exact, train, evaluate)
        parts.append(_bin_dataset(bins, len(sigmas), attributes))
    if train.shape[1:] == (1,):
        try:
            parts.append(_density_dataset(network, exact, train, sigmas[-1]))
            if history:
                parts.append(_history_dataset(history, exact, train, sigmas[-1]))
        except ValueError as error:
            say(f"the density recovered from the score is skipped: {error}")
    if train.shape[1:] == (2,):
        parts.append(_field_dataset(network, exact, train, sigmas))
    return xr.merge(parts, join="outer", compat="no_conflicts")


def _estimate_levels(
    network: ScoreNetwork,
    exact: ScoreWithDensity,
    clean: Mapping[str, Tensor],
    evaluate: Evaluate,
    advance: Callable[[int], None],
) -> tuple[dict[str, list[Row]], dict[str, list[BinRow]]]:
    """Return the estimates of each level and, if requested, density bin, by split."""
    seed, probes, num_bins = evaluate.seed, evaluate.asymmetry_probes, evaluate.density_bins
    rows: dict[str, list[Row]] = {split: [] for split in clean}
    bins: dict[str, list[BinRow]] = {split: [] for split in clean}
    for split, points in clean.items():
        x = points[
            random_subset(len(points), evaluate.score_error_samples, seed, "score_error", split)
        ]
        for level, sigma in enumerate(network.sigmas.double().tolist()):
            key = seed, "score_error", split, level
            row = score_error(network, exact, x, sigma, generator_for(*key))
            noisy = x + sigma * torch.randn(x.shape, generator=generator_for(*key))
            if probes:
                generator = generator_for(seed, "asymmetry", split, level)
                row |= asymmetry(network, noisy, sigma, probes, generator)
            rows[split].append(row)
            if num_bins:
                bins[split].append(error_by_density(network, exact, noisy, sigma, num_bins))
            advance(1)
    return rows, bins


def _uniform_bins(
    network: ScoreNetwork, exact: ScoreWithDensity, train: Tensor, evaluate: Evaluate
) -> list[BinRow]:
    """Return the estimates of each level and density bin at evenly spread points."""
    generator = generator_for(evaluate.seed, "even points")
    points = _uniform_points(train, evaluate.score_error_samples, generator)
    return [
        error_by_density(network, exact, points, sigma, evaluate.density_bins)
        for sigma in network.sigmas.double().tolist()
    ]


def level_dataset(
    rows: Mapping[str, Sequence[Mapping[str, MeanEstimate]]],
    sigmas: Sequence[float],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Return the variables (split, level) of `rows[split][level][name]`, with intervals."""
    content = xr.Dataset(
        {"sigma": ("level", list(sigmas), label("sigma"))},
        _coordinates(list(rows), len(sigmas)),
    )
    measured = next(iter(rows.values()))[0]
    for name, long_name in (SCORE_ERROR_NAMES | ASYMMETRY_NAMES).items():
        if name in measured:
            values = [[level[name] for level in levels] for levels in rows.values()]
            content.update(_variables(name, long_name, ("split", "level"), values, attributes))
    return content


def _bin_dataset(
    bins: Mapping[str, Sequence[Mapping[str, Sequence[MeanEstimate]]]],
    levels: int,
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Return the variables (split, level, density_bin) of `bins[split][level][name][bin]`."""
    content = xr.Dataset(coords=_coordinates(list(bins), levels))
    for name, long_name in DENSITY_BIN_NAMES.items():
        values = [[level[name] for level in levels_of_split] for levels_of_split in bins.values()]
        dims = ("split", "level", "density_bin")
        content.update(_variables(name, long_name, dims, values, attributes))
    numbers = np.arange(1, content.sizes["density_bin"] + 1)
    return content.assign_coords(density_bin=("density_bin", numbers, label("density_bin")))


def _coordinates(splits: Sequence[str], levels: int) -> dict[str, Any]:
    return {"split": np.array(splits, dtype=object), "level": np.arange(1, levels + 1)}


def _variables(
    name: str, long_name: str, dims: tuple[str, ...], values: Any, attributes: Mapping[str, Any]
) -> dict[str, xr.Variable]:
    """Return nested lists of estimates as a variable and the ends of its interval."""
    better = BETTER.get(name, "lower")
    common = {**attributes, "units": UNITS.get(name, "1")} | ({"better": better} if better else {})
    variables = {}
    for suffix, field, description in (
        ("", "value", ""),
        ("_low", "low", ", low end of the 95 % interval"),
        ("_high", "high", ", high end of the 95 % interval"),
    ):
        get = np.vectorize(lambda estimate, field=field: getattr(estimate, field), otypes=[float])
        array = get(np.array(values, dtype=object))
        about = common | {"long_name": long_name + description}
        variables[name + suffix] = xr.Variable(dims, array, about)
    return variables


def _uniform_points(data: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return points (count, D), uniform over a box of twice the width of the data."""
    low, high = data.amin(dim=0), data.amax(dim=0)
    uniform = torch.rand(count, data.shape[1], generator=generator)
    return low + (high - low) * (2 * uniform - 0.5)


def _density_dataset(
    network: ScoreNetwork, exact: ScoreWithDensity, train: Tensor, sigma: float
) -> xr.Dataset:
    """Return the density of one-dimensional data recovered from the score at the last level."""
    recovered = recover_density(network, exact, train, sigma)
    dim, distance = "density_point", {"better": "lower", "sigma": sigma}
    values: dict[str, tuple[str | tuple[()], Any, dict[str, Any]]] = {
        "density_x": (dim, recovered.x.numpy(), {}),
        "density": (dim, recovered.density.numpy(), {"sigma": sigma}),
        "density_exact": (dim, recovered.exact.numpy(), {"sigma": sigma}),
        "density_tv": ((), recovered.tv, distance),
        "density_kl": ((), recovered.kl, distance),
    }
    return xr.Dataset(
        {name: (dims, v, label(name) | about) for name, (dims, v, about) in values.items()}
    )


def _history_dataset(
    history: Mapping[int, ScoreNetwork], exact: ScoreWithDensity, train: Tensor, sigma: float
) -> xr.Dataset:
    """Return the recovered densities of a network during training."""
    recovered = [recover_density(network, exact, train, sigma) for network in history.values()]
    densities = np.stack([estimate.density.numpy() for estimate in recovered])
    about = label("density_history") | {"sigma": sigma}
    return xr.Dataset(
        {"density_history": (("kept_step", "density_point"), densities, about)},
        {"kept_step": ("kept_step", list(history), label("kept_step"))},
    )


def _field_dataset(
    network: ScoreNetwork, exact: ScoreWithDensity, train: Tensor, sigmas: Sequence[float]
) -> xr.Dataset:
    """Return both scores on a regular grid at the first, the middle and the last level."""
    shown = sorted({0, (len(sigmas) - 1) // 2, len(sigmas) - 1})
    margin = 0.25 * (train.amax(dim=0) - train.amin(dim=0))
    low, high = train.amin(dim=0) - margin, train.amax(dim=0) + margin
    sides = [torch.linspace(float(low[i]), float(high[i]), FIELD_SIDE) for i in (0, 1)]
    x = torch.cartesian_prod(*sides)
    learned, expected = (
        np.stack([score(x, x.new_full((len(x),), sigmas[level])).numpy() for level in shown])
        for score in (network, exact)
    )
    dims = ("field_level", "field_point", "feature")
    return xr.Dataset(
        {
            "field_x": (dims[1:], x.numpy(), label("field_x")),
            "field_score": (dims, learned, label("field_score")),
            "field_exact": (dims, expected, label("field_exact")),
        },
        {"field_sigma": (dims[0], [sigmas[level] for level in shown], label("field_sigma"))},
    )
