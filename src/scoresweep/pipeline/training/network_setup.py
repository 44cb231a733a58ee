"""Build the network of a run for the shape and noise ladder of its data."""

from __future__ import annotations

import functools

import torch

from scoresweep.networks.oracle import Oracle
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.pipeline.training.weights import build_network

__all__ = ["make_network", "make_oracle"]


def make_network(run: Run, paths: StudyPaths) -> ScoreNetwork:
    """Return the untrained network of `run`, for the shape and the noise ladder of its data.

    Raises `InputError` if the data is not staged or does not fit the network.
    """
    store = paths.dataset_store(run.dataset.id)
    sigmas = resolve_noise_levels(run.train.noise, functools.partial(training_points, store))
    shape = read_split(store, "train").shape
    try:
        return build_network(run.train.network, shape, sigmas)
    except ValueError as error:
        raise InputError(f"train.network: does not fit {run.dataset.id}: {error}") from None


def make_oracle(run: Run, paths: StudyPaths) -> ScoreNetwork:
    """Return the exact score of the mixture or of the training set, as `network.of` asks.

    Raises `InputError` if it asks for a mixture and the data was not drawn from one.
    """
    store, network = paths.dataset_store(run.dataset.id), make_network(run, paths)
    assert isinstance(network, Oracle)
    is_mixture = "mixture" in check_store(store)["attributes"]
    if network.of == "mixture" and not is_mixture:
        raise InputError(
            f"train.network.of: mixture: the dataset {run.dataset.id} was not drawn from a "
            f"mixture; expected training_set or auto"
        )
    if is_mixture and network.of != "training_set":
        exact = load_exact_score(store)
        return network.set_mixture(exact.weights, exact.means, exact.variances.sqrt())
    split = read_split(store, "train")
    one, values = torch.ones(1), torch.from_numpy(split.values)
    if split.pixel_range is None:
        return network.set_mixture(one, values, 0 * one)
    return network.set_mixture(one, values.permute(0, 3, 1, 2), 0 * one, split.pixel_range)
