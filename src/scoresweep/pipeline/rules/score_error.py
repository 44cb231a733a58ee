"""Rule `score_error`: compute the metrics of a network, such as its score error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation.measurement_files import (
    compute_cost,
    join_evaluations,
    write_dataset,
)
from scoresweep.pipeline.evaluation.network_likelihood import LIKELIHOOD_NAMES, measure_likelihood
from scoresweep.pipeline.evaluation.network_metrics import measure_network
from scoresweep.pipeline.results import network_state, recorded_dataset
from scoresweep.pipeline.results.code_version import current_code, recorded_code
from scoresweep.pipeline.results.input_hashes import MADE_FROM, made_from_attribute
from scoresweep.pipeline.study import Evaluate, Plan, Run
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.methods.metrics import NETWORK_METRICS
from scoresweep.pipeline.study.models import NETWORK_OPTIONS
from scoresweep.pipeline.study.plan import network_metrics_hash
from scoresweep.pipeline.system.console import progress
from scoresweep.pipeline.system.device import move_exact_score, move_network, select_device
from scoresweep.pipeline.training.weights import load_history, load_run_network

__all__ = ["score_error"]

PARTS = "parts"
"""Attribute that lists the metrics of a file, each with what its values depend on."""


def score_error(plan: Plan, run_id: str, gpus: int = 0, weights: str = "") -> None:
    """Write the metrics of a run's network, with the weights of this name, that the study lists.

    If other metrics or options are wanted than the file holds, those metrics of it are kept whose
    options, network, data and code are the same. If a metric fails, those measured before it are
    written first, so that the next attempt keeps them.

    Raises:
        InputError: if the study measures no network, or there is no GPU.
        RunError: if a metric of the network is not finite.
    """
    started, device, code = time.monotonic(), select_device(gpus), current_code("score_error")
    run, options = plan.run(run_id), plan.network_metrics()
    if not options:
        raise InputError(
            f"evaluate.metrics of the study {plan.study.study} lists no metric of networks; add "
            f"{' or '.join(NETWORK_METRICS)} to measure them"
        )
    data = recorded_dataset(plan.paths, run.dataset.id)
    path = plan.paths.score_error(run.id, weights)
    hashes = network_state(plan.paths, run.id, data, weights).hashes | {"data": data.sha256}
    made_from = made_from_attribute(hashes)
    kept = _kept_metrics(plan, path, made_from)
    parts = dict(kept)
    attributes = {"run": run.id, "dataset": run.dataset.id} | made_from | code.attribute()
    try:
        for name in [name for name in options if name not in kept]:
            parts[name] = MEASURE[name](plan, run, weights, device)
    finally:
        if parts.keys() == options.keys() or parts.keys() > kept.keys():
            _write(plan, parts, path, attributes | compute_cost(started, device))


def _write(
    plan: Plan, parts: dict[str, xr.Dataset], path: Path, attributes: dict[str, Any]
) -> None:
    """Write the metrics in `parts`, all or some of those of the study, to the file at `path`."""
    options = {name: each for name, each in plan.network_metrics().items() if name in parts}
    content = xr.merge([parts[name] for name in options], join="outer", compat="no_conflicts")
    seconds = max(part.attrs.get("seconds", 0.0) for part in parts.values())
    content.attrs = attributes | {PARTS: _plain(options), "measured": network_metrics_hash(options)}
    content.attrs |= {"seconds": attributes["seconds"] + seconds}
    write_dataset(content, path)


def _kept_metrics(plan: Plan, path: Path, made_from: dict[str, str]) -> dict[str, xr.Dataset]:
    """Return the metrics of the current file that are still valid, by name."""
    try:
        if recorded_code(path).code != current_code("score_error").code:
            return {}
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
    except (OSError, ValueError):
        return {}
    is_complete = content.attrs.get("measured") == plan.score_error_hash()  # measure all again
    if is_complete or content.attrs.get(MADE_FROM) != made_from[MADE_FROM]:
        return {}
    recorded, wanted = json.loads(content.attrs.get(PARTS, "{}")), plan.network_metrics()
    same = [name for name in wanted if recorded.get(name) == json.loads(_plain(wanted[name]))]
    return {name: _part(content, name) for name in same}


def _part(content: xr.Dataset, metric: str) -> xr.Dataset:
    """Return the variables of one metric, with the attributes of the file."""
    likelihood = {
        name for name in content.data_vars if str(name).startswith(tuple(LIKELIHOOD_NAMES))
    }
    if metric == "bits_per_dimension":
        return content[sorted(likelihood, key=str)]
    return content.drop_vars(likelihood)


def _plain(options: Any) -> str:
    """Return options as JSON."""
    return json.dumps(options, default=str)


def _measure_likelihood(plan: Plan, run: Run, weights: str, device: torch.device) -> xr.Dataset:
    """Return the bits per dimension at each point of the evaluation grid."""
    network = load_run_network(run, plan.paths, weights).to(device)
    store = plan.paths.dataset_store(run.dataset.id)
    splits = {name: read_split(store, name) for name in ("train", "test")}
    points = _points(plan, "bits_per_dimension")
    counts = [
        min(evaluate.likelihood_samples, len(split.values))
        for evaluate, _ in points
        for split in splits.values()
    ]
    batch_size = max(1, run.train.batch_size // run.train.gradient_accumulation)
    with progress(f"bits per dimension {run.id}", sum(counts)) as advance:

        def measure(evaluate: Evaluate) -> xr.Dataset:
            return measure_likelihood(network, splits, evaluate, batch_size, advance)

        try:
            return _join(points, measure)
        except ValueError as error:
            raise InputError(
                f"run {run.id}: evaluate.metrics: bits_per_dimension: {error}"
            ) from error


def _measure_score_error(plan: Plan, run: Run, weights: str, device: torch.device) -> xr.Dataset:
    """Return the errors of the network's score at each point of the evaluation grid."""
    network = move_network(load_run_network(run, plan.paths, weights), device)
    store = plan.paths.dataset_store(run.dataset.id)
    clean = {split: read_split(store, split).model_space() for split in ("train", "test")}
    exact = move_exact_score(load_exact_score(store), device)
    is_one_dimensional = clean["train"].shape[1:] == (1,)
    history = None
    if is_one_dimensional:
        history = load_history(plan.paths.history(run.id), run.train.network)
    points = _points(plan, "score_error")
    total = len(points) * len(clean) * len(network.sigmas)
    with progress(f"score error {run.id}", total) as advance:

        def measure(evaluate: Evaluate) -> xr.Dataset:
            return measure_network(network, exact, clean, evaluate, advance, history)

        try:
            return _join(points, measure)
        except ValueError as error:
            raise InputError(f"run {run.id}: {error}; lower evaluate.density_bins") from error


def _points(plan: Plan, metric: str) -> list[tuple[Evaluate, list[Point]]]:
    """Return what to measure for a metric of networks, each with its points of the grid.

    Points that differ in options of other metrics only share one measurement.
    """
    names = {"seed", *NETWORK_OPTIONS[metric]}
    points = dict[str, tuple[Evaluate, list[Point]]]()
    for evaluation in plan.evaluations:
        if metric in evaluation.evaluate.metrics:
            key = evaluation.evaluate.model_dump_json(include=names)
            points.setdefault(key, (evaluation.evaluate, []))[1].append(evaluation.axes)
    return list(points.values())


def _join(
    points: Sequence[tuple[Evaluate, Sequence[Point]]], measure: Callable[[Evaluate], xr.Dataset]
) -> xr.Dataset:
    """Measure each of `points` once, and return it at all its points of the evaluation grid."""
    parts = []
    for evaluate, axes in points:
        content = measure(evaluate)
        parts += [(content, each) for each in axes]
    return join_evaluations(parts)


MEASURE: dict[str, Callable[[Plan, Run, str, torch.device], xr.Dataset]] = {
    "score_error": _measure_score_error,
    "bits_per_dimension": _measure_likelihood,
}
"""What measures each metric of networks."""
