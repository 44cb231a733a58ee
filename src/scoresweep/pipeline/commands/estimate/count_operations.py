"""Count the operations of a run's network; a GPU's rate turns them into seconds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from scoresweep.pipeline.commands.estimate.probe_network import (
    NetworkTimes,
    num_parameters,
    random_inputs,
    trainer_of_batch,
)
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.training.network_setup import make_oracle

__all__ = ["count_network"]

BATCH = 2
"""Samples of the batch whose operations are counted; they are proportional to its size."""


def count_network(run: Run, paths: StudyPaths, tflops: float) -> NetworkTimes:
    """Return the seconds that a run's network takes at `tflops` · 10¹² operations per second.

    Multiplications and additions of matrix products, convolutions and attention count, one each;
    the steps of samplers and optimizers do not.
    """
    per_second = 1e12 * tflops
    if not run.train.network.is_trained:
        oracle = make_oracle(run, paths)
        each = _operations(lambda: oracle(*random_inputs(oracle, BATCH))) / BATCH
        return NetworkTimes(0.0, each / per_second, 0.0, num_parameters(oracle))
    batch = min(BATCH, run.train.batch_size)
    trainer = trainer_of_batch(run, paths, batch, "cpu")
    network = trainer.averaged
    step = _operations(lambda: trainer.training_step.update(0)) / batch
    with torch.no_grad():
        each = _operations(lambda: network(*random_inputs(network, BATCH))) / BATCH
    shown = run.train.log.image_count if len(network.shape) == 3 else 0
    return NetworkTimes(
        step_seconds=step * run.train.batch_size / per_second,
        sample_seconds=each / per_second,
        image_seconds=shown * each / per_second,
        parameters=num_parameters(network),
    )


def _operations(work: Callable[[], object]) -> int:
    """Return how many operations `work` does."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
