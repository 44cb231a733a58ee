"""Bits per dimension of a network on training and test samples, as labelled variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from scoresweep.metrics.likelihood import bits_per_dimension, dequantise, log_likelihood
from scoresweep.metrics.score_error import MeanEstimate, mean_of
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.evaluation.subsets import random_subset
from scoresweep.pipeline.study import Evaluate
from scoresweep.seeds import generator_for

__all__ = ["LIKELIHOOD_NAMES", "measure_likelihood"]

LIKELIHOOD_NAMES = {
    "bits_per_dimension": "bits per dimension: negative log2 likelihood by the probability-flow ODE"
}
"""Variables and their long names."""

STREAM = "likelihood"
"""Purpose of its random numbers."""


def measure_likelihood(
    network: ScoreNetwork,
    splits: Mapping[str, Split],
    evaluate: Evaluate,
    batch_size: int,
    advance: Callable[[int], None],
) -> xr.Dataset:
    """Return the mean bits per dimension of each split, with 95 % intervals over its samples.

    Images of integers are dequantised, with the offset of their number of levels; other data are
    continuous, in their own units.

    Args:
        network: the network, on any device; the ODE is solved there.
        splits: the data by split.
        evaluate: what to measure.
        batch_size: number of samples of a batch; a gradient is computed, as in training.
        advance: called with the number of samples after each batch.

    Raises:
        ValueError: if the network has a single noise level.
        RunError: if a likelihood is not finite.
    """
    estimates = {
        name: _estimate(network, name, split, evaluate, batch_size, advance)
        for name, split in splits.items()
    }
    levels = {num_levels(split) for split in splits.values()}
    about: dict[str, Any] = {
        "units": "bit",
        "better": "lower",
        "seed": evaluate.seed,
        "sigma_min": float(network.sigmas[-1]),
        "sigma_max": float(network.sigmas[0]),
        "steps": evaluate.likelihood_steps,
    } | ({"levels": levels.pop()} if levels != {1} else {})
    return xr.Dataset(
        _variables("bits_per_dimension", list(estimates.values()), about),
        {"split": np.array(list(splits), dtype=object)},
    )


def num_levels(split: Split) -> int:
    """Return the number of levels of images of integers; 1 for other data."""
    if split.pixel_range is None or split.values.dtype.kind not in "iu":
        return 1
    low, high = split.pixel_range
    return round(high - low) + 1


def _estimate(
    network: ScoreNetwork,
    name: str,
    split: Split,
    evaluate: Evaluate,
    batch_size: int,
    advance: Callable[[int], None],
) -> MeanEstimate:
    """Return the mean bits per dimension of a random subset of a split."""
    seed, count, levels = evaluate.seed, evaluate.likelihood_samples, num_levels(split)
    part = split.take(random_subset(len(split.values), count, seed, STREAM, name).numpy())
    generator = generator_for(seed, STREAM, name)
    x = _dequantised(part, levels, generator) if levels > 1 else part.model_space()
    likelihoods = log_likelihood(
        network,
        x.to(network.sigmas.device),
        *(float(sigma) for sigma in (network.sigmas[-1], network.sigmas[0])),
        steps=evaluate.likelihood_steps,
        probes=evaluate.likelihood_probes,
        generator=generator,
        batch_size=batch_size,
        advance=advance,
    ).cpu()
    if failed := int((~likelihoods.isfinite()).sum()):
        raise RunError(
            f"bits_per_dimension: the likelihood of {failed} of {len(x)} {name} samples is not "
            f"finite; raise evaluate.likelihood_steps, found {evaluate.likelihood_steps}, or check "
            f"the network"
        )
    return mean_of(bits_per_dimension(likelihoods, x[0].numel(), levels))


def _dequantised(split: Split, levels: int, generator: torch.Generator) -> Tensor:
    """Return images (N, C, H, W) in [0, 1), dequantised."""
    assert split.pixel_range is not None
    values = torch.from_numpy(split.values.astype(np.int64)) - round(split.pixel_range[0])
    return dequantise(values, levels, generator).permute(0, 3, 1, 2)


def _variables(
    name: str, estimates: list[MeanEstimate], about: Mapping[str, Any]
) -> dict[str, xr.Variable]:
    """Return the means (split,) and the ends of their intervals."""
    long_name = LIKELIHOOD_NAMES[name]
    ends = {
        name: ([e.value for e in estimates], long_name),
        f"{name}_low": ([e.low for e in estimates], f"{long_name}, low end of the 95 % interval"),
        f"{name}_high": (
            [e.high for e in estimates],
            f"{long_name}, high end of the 95 % interval",
        ),
    }
    return {
        key: xr.Variable(("split",), values, {**about, "long_name": text})
        for key, (values, text) in ends.items()
    }
