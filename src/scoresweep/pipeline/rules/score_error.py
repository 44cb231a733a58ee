"""Rule `score_error`: measure a trained network against the exact score."""

from __future__ import annotations

import time
from typing import Any

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation.network_metrics import measure_network
from scoresweep.pipeline.evaluation.sample_metrics import (
    compute_cost,
    join_evaluations,
    write_dataset,
)
from scoresweep.pipeline.results import (
    network_state,
    recorded_dataset,
)
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import progress
from scoresweep.pipeline.system.device import move_exact_score, move_network, select_device
from scoresweep.pipeline.training.weights import load_history, load_network

__all__ = ["score_error"]


def score_error(plan: Plan, run_id: str, gpus: int = 0) -> None:
    """Write how far a run's network is from the exact score of its data (`oracle_of`).

    Raises:
        InputError: if the study does not ask for it, or there is no GPU for it.
    """
    started, run, device = time.monotonic(), plan.run(run_id), select_device(gpus)
    code = current_code("score_error")
    asked = [e for e in plan.evaluations if "score_error" in e.evaluate.metrics]
    if not asked:
        raise InputError(
            f"evaluate.metrics of the study {plan.study.study} does not have score_error"
        )
    network = move_network(load_network(plan.paths.run(run.id)), device)
    data = recorded_dataset(plan.paths, run.dataset.id)
    made_from = network_state(plan.paths, run.id, data).hashes | {"data": data.sha256}
    store = plan.paths.dataset_store(run.dataset.id)
    clean = {split: read_split(store, split).model_space() for split in ("train", "test")}
    oracle = move_exact_score(load_exact_score(store), device)
    is_line = clean["train"].shape[1:] == (1,)
    history = load_history(plan.paths.history(run.id)) if is_line else None
    parts = []
    with progress(
        f"score error {run.id}", len(asked) * len(clean) * len(network.sigmas)
    ) as advance:
        for evaluation in asked:
            try:
                options = evaluation.evaluate
                content = measure_network(network, oracle, clean, options, advance, history)
            except ValueError as error:
                raise InputError(f"run {run.id}: {error}; lower evaluate.density_bins") from error
            parts.append((content, evaluation.axes))
    attributes: dict[str, Any] = {"run": run.id, "dataset": run.dataset.id}
    attributes |= {"measured": plan.score_error_hash()} | made_from_attribute(made_from)
    attributes |= compute_cost(started, device) | code.attribute()
    write_dataset(join_evaluations(parts).assign_attrs(attributes), plan.paths.score_error(run.id))
