"""Rule `score_error`: compare a network with the exact score."""

from __future__ import annotations

import time
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
from scoresweep.pipeline.evaluation.network_metrics import measure_network
from scoresweep.pipeline.results import network_state, recorded_dataset
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.study import Plan, Run
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.system.console import progress
from scoresweep.pipeline.system.device import move_exact_score, move_network, select_device
from scoresweep.pipeline.training.weights import load_history, load_run_network

__all__ = ["score_error"]


def score_error(plan: Plan, run_id: str, gpus: int = 0) -> None:
    """Write the metrics that compare a run's network with the exact score of its data.

    Raises:
        InputError: if the study does not measure the score error, or there is no GPU.
    """
    started, device, code = time.monotonic(), select_device(gpus), current_code("score_error")
    run = plan.run(run_id)
    if not plan.measures_score_error:
        raise InputError(
            f"evaluate.metrics of the study {plan.study.study} does not list score_error; add it "
            f"to measure the score error"
        )
    data = recorded_dataset(plan.paths, run.dataset.id)
    hashes = network_state(plan.paths, run.id, data).hashes | {"data": data.sha256}
    parts = _measure_grid(plan, run, device)
    attributes: dict[str, Any] = {"run": run.id, "dataset": run.dataset.id}
    attributes |= {"measured": plan.score_error_hash()} | made_from_attribute(hashes)
    attributes |= compute_cost(started, device) | code.attribute()
    write_dataset(join_evaluations(parts).assign_attrs(attributes), plan.paths.score_error(run.id))


def _measure_grid(plan: Plan, run: Run, device: torch.device) -> list[tuple[xr.Dataset, Point]]:
    """Measure the network at each point of the evaluation grid."""
    network = move_network(load_run_network(run, plan.paths), device)
    store = plan.paths.dataset_store(run.dataset.id)
    clean = {split: read_split(store, split).model_space() for split in ("train", "test")}
    exact = move_exact_score(load_exact_score(store), device)
    is_one_dimensional = clean["train"].shape[1:] == (1,)
    history = None
    if is_one_dimensional:
        history = load_history(plan.paths.history(run.id), run.train.network)
    evaluations = [e for e in plan.evaluations if "score_error" in e.evaluate.metrics]
    total = len(evaluations) * len(clean) * len(network.sigmas)
    parts = []
    with progress(f"score error {run.id}", total) as advance:
        for evaluation in evaluations:
            options = evaluation.evaluate
            try:
                content = measure_network(network, exact, clean, options, advance, history)
            except ValueError as error:
                raise InputError(f"run {run.id}: {error}; lower evaluate.density_bins") from error
            parts.append((content, evaluation.axes))
    return parts
