"""Everything that is measured on a network without drawing from it, as labelled variables."""

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
from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.evaluation.sample_metrics import random_subset
from scoresweep.pipeline.netcdf_attrs import label
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.system.console import say
from scoresweep.score import ScoreWithDensity
from scoresweep.seeds import generator_for

__all__ = ["level_dataset", "measure_network"]

FIELD_SIDE = 21
"""Points of a side of the grid on which the field of a score is kept."""

UNITS = {
    "score_error": "data^-2",
    "score_error_of_bin": "data^-2",
    "asymmetry": "data^-4",
    "log_density_of_bin": "nat",
}
"""Units of what is not a plain number."""

BETTER = {"score_cosine": "higher", "log_density_of_bin": None}
"""Which way is better where that is not "lower"."""


def measure_network(
    network: ScoreNetwork,
    oracle: ScoreWithDensity,
    clean: Mapping[str, Tensor],
    evaluate: Evaluate,
    advance: Callable[[int], None],
    history: Mapping[int, ScoreNetwork] | None = None,
) -> xr.Dataset:
    """Return how far a network's score is from the exact one, and what else `evaluate` asks for.

    Args:
        network: the network.
        oracle: the exact score.
        clean: samples (N, ...) by split, "train" among them.
        evaluate: what is measured.
        advance: called with 1 after each split and level.
        history: the network after so many steps of its training; of those, densities are kept.
    """
    sigmas: list[float] = network.sigmas.double().tolist()
    count, seed = evaluate.score_error_samples, evaluate.seed
    rows: dict[str, list[dict[str, MeanEstimate]]] = {split: [] for split in clean}
    bins: dict[str, list[dict[str, list[MeanEstimate]]]] = {split: [] for split in clean}
    for split, points in clean.items():
        x = points[random_subset(len(points), count, seed, "score_error", split)]
        for level, sigma in enumerate(sigmas):
            key = seed, "score_error", split, level
            rows[split].append(score_error(network, oracle, x, sigma, generator_for(*key)))
            noisy = x + sigma * torch.randn(x.shape, generator=generator_for(*key))
            if evaluate.asymmetry_probes:
                draw = generator_for(seed, "asymmetry", split, level)
                probes = evaluate.asymmetry_probes
                rows[split][-1] |= asymmetry(network, noisy, sigma, probes, draw)
            if evaluate.density_bins:
                n = evaluate.density_bins
                bins[split].append(error_by_density(network, oracle, noisy, sigma, n))
            advance(1)
    common = {"seed": seed}
    parts = [level_dataset(rows, sigmas, common)]
    train = clean["train"]
    if evaluate.density_bins:
        if train.ndim == 2:
            even = _even_points(train, count, generator_for(seed, "even points"))
            n = evaluate.density_bins
            bins["uniform"] = [error_by_density(network, oracle, even, s, n) for s in sigmas]
        parts.append(_bin_dataset(bins, len(sigmas), common))
    if train.ndim == 2 and train.shape[1] == 1:
        try:
            parts.append(_density_dataset(network, oracle, train, sigmas[-1]))
            if history:
                parts.append(_history_dataset(history, oracle, train, sigmas[-1]))
        except ValueError as error:
            say(f"the density that the score stands for is left out: {error}")
    if train.ndim == 2 and train.shape[1] == 2:
        parts.append(_field_dataset(network, oracle, train, sigmas))
    return xr.merge(parts, join="outer", compat="no_conflicts")


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
        values = [[level[name] for level in each] for each in bins.values()]
        dims = ("split", "level", "density_bin")
        content.update(_variables(name, long_name, dims, values, attributes))
    numbers = np.arange(1, content.sizes["density_bin"] + 1)
    return content.assign_coords(density_bin=("density_bin", numbers, label("density_bin")))


def _coordinates(splits: Sequence[str], levels: int) -> dict[str, Any]:
    return {"split": np.array(splits, dtype=object), "level": np.arange(1, levels + 1)}


def _variables(
    name: str, long_name: str, dims: tuple[str, ...], values: Any, attributes: Mapping[str, Any]
) -> dict[str, xr.Variable]:
    """Return the variable of nested lists of estimates, and the ends of its interval."""
    better = BETTER.get(name, "lower")
    common = {**attributes, "units": UNITS.get(name, "1")} | ({"better": better} if better else {})
    found = {}
    for suffix, field, what in (
        ("", "value", ""),
        ("_low", "low", ", low end of the 95 % interval"),
        ("_high", "high", ", high end of the 95 % interval"),
    ):
        of = np.vectorize(lambda estimate, field=field: getattr(estimate, field), otypes=[float])
        array = of(np.array(values, dtype=object))
        found[name + suffix] = xr.Variable(dims, array, common | {"long_name": long_name + what})
    return found


def _even_points(data: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` points (count, D), uniform over a box about the data of twice its width."""
    low, high = data.amin(dim=0), data.amax(dim=0)
    drawn = torch.rand(count, data.shape[1], generator=generator)
    return low + (high - low) * (2 * drawn - 0.5)


def _density_dataset(
    network: ScoreNetwork, oracle: ScoreWithDensity, train: Tensor, sigma: float
) -> xr.Dataset:
    """Return the density that one-dimensional data has by the score at its smallest level."""
    found = recover_density(network, oracle, train, sigma)
    at, distance = "density_point", {"better": "lower", "sigma": sigma}
    values: dict[str, tuple[str | tuple[()], Any, dict[str, Any]]] = {
        "density_x": (at, found.x.numpy(), {}),
        "density": (at, found.density.numpy(), {"sigma": sigma}),
        "density_exact": (at, found.exact.numpy(), {"sigma": sigma}),
        "density_tv": ((), found.tv, distance),
        "density_kl": ((), found.kl, distance),
    }
    return xr.Dataset(
        {name: (dims, v, label(name) | about) for name, (dims, v, about) in values.items()}
    )


def _history_dataset(
    history: Mapping[int, ScoreNetwork], oracle: ScoreWithDensity, train: Tensor, sigma: float
) -> xr.Dataset:
    """Return the recovered densities of a network on its way."""
    found = [recover_density(network, oracle, train, sigma) for network in history.values()]
    densities = np.stack([each.density.numpy() for each in found])
    about = label("density_history") | {"sigma": sigma}
    return xr.Dataset(
        {"density_history": (("kept_step", "density_point"), densities, about)},
        {"kept_step": ("kept_step", list(history), label("kept_step"))},
    )


def _field_dataset(
    network: ScoreNetwork, oracle: ScoreWithDensity, train: Tensor, sigmas: Sequence[float]
) -> xr.Dataset:
    """Return both scores on a regular grid at the largest, the middle and the smallest level."""
    shown = sorted({0, (len(sigmas) - 1) // 2, len(sigmas) - 1})
    margin = 0.25 * (train.amax(dim=0) - train.amin(dim=0))
    low, high = train.amin(dim=0) - margin, train.amax(dim=0) + margin
    sides = [torch.linspace(float(low[i]), float(high[i]), FIELD_SIDE) for i in (0, 1)]
    x = torch.cartesian_prod(*sides)
    learned, exact = (
        np.stack([score(x, x.new_full((len(x),), sigmas[level])).numpy() for level in shown])
        for score in (network, oracle)
    )
    dims = ("field_level", "field_point", "feature")
    return xr.Dataset(
        {
            "field_x": (dims[1:], x.numpy(), label("field_x")),
            "field_score": (dims, learned, label("field_score")),
            "field_exact": (dims, exact, label("field_exact")),
        },
        {"field_sigma": (dims[0], [sigmas[level] for level in shown], label("field_sigma"))},
    )
