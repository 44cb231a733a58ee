"""Write the files of a run without training: an exact score, or imported weights."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

import torch
import yaml

from scoresweep.networks.oracle import Oracle
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.code_version import MADE_BY, current_code
from scoresweep.pipeline.results.input_hashes import dataset_sha256, write_weights_manifest
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.provenance import Code, append_start, update_provenance
from scoresweep.pipeline.training.curves import Curves
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.pipeline.training.tensorboard import run_hparams, write_hparams
from scoresweep.pipeline.training.weights import build_network, save_network

__all__ = ["make_network", "make_oracle", "write_run_header", "write_run_without_training"]


def write_run_header(run: Run, paths: StudyPaths, code: Code | None = None) -> None:
    """Write the configuration of `run` and the code that makes it (`code`, if known)."""
    with atomic_write(paths.run_config(run.id)) as temporary:
        temporary.write_text(yaml.safe_dump(run.config(), sort_keys=False))
    append_start(paths.provenance(run.id), paths.code(run.id), code)


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


def write_run_without_training(
    run: Run,
    paths: StudyPaths,
    network: ScoreNetwork,
    facts: dict[str, Any] | None = None,
    note: str = "",
) -> None:
    """Write the files of a run without training; the weights come last.

    `facts` go into the provenance; `scoresweep status` shows `note`.
    """
    curves = Curves(network.sigmas.tolist()).dataset()
    curves.attrs = {
        "run": run.id,
        "dataset": run.dataset.id,
        "steps": 0,
        "seconds": 0.0,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "axes": json.dumps(run.axes),
    }
    with atomic_write(paths.training_curves(run.id)) as temporary:
        curves.to_netcdf(temporary, engine="h5netcdf")
    code = {MADE_BY: current_code("networks").record()}
    update_provenance(paths.provenance(run.id), {"finished": time.time(), **code, **(facts or {})})
    write_hparams(paths.tensorboard(run.id), run_hparams(run), {})
    JobState("done", run.train.steps, run.train.steps, message=note).write(paths.progress(run.id))
    save_network(paths.weights(run.id), network, run.train.network)
    # Imported weights do not depend on the data of the run.
    record = {}
    if not run.train.network.is_trained:
        record["data"] = dataset_sha256(check_store(paths.dataset_store(run.dataset.id)))
    write_weights_manifest(paths.weights(run.id), paths.weights_manifest(run.id), record)
