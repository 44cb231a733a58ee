"""Time the work of a study's jobs in processes like theirs, as many beside each other."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import multiprocessing
import pickle
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from scoresweep.pipeline.commands.estimate.costs import Costs, Measuring
from scoresweep.pipeline.study import Plan

__all__ = ["MAX_PROCESSES", "mean_costs", "scaled", "time_in_processes"]

MAX_PROCESSES = 8
"""Processes that are timed beside each other at most."""

OUT_OF_MEMORY = (
    "Timing a little of the work took more memory than this machine has: `scoresweep plan "
    "--no-probe` leaves it out."
)


def time_in_processes(
    plan: Plan, known: Costs, processes: int, device: str = "cpu", tflops: float | None = None
) -> Costs:
    """Return the costs that `known` lacks, as the mean of `processes` processes of one thread.

    They start at the same time and do the same work, so that they share cores, caches and memory as
    the jobs of the study will. `device` and `tflops` are those of `time_unknown`, which raises
    `InputError` if the code of a plugin fails. Raises `RunError` if memory is exhausted.
    """
    context = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(1, context) for _ in range(processes)]
    try:
        # Pickled here, so that the processes import what jobs import before they unpickle it.
        given = pickle.dumps((plan, known, device, tflops))
        futures = [pool.submit(_time_here, given, time.time()) for pool in pools]
        return mean_costs([future.result() for future in futures])
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _time_here(pickled: bytes, submitted: float) -> Costs:
    """Do the work of `time_unknown` in a new process that was asked for at `submitted`."""
    from scoresweep.pipeline.commands.estimate.probe import time_unknown
    from scoresweep.pipeline.system.memory_errors import explain_out_of_memory
    from scoresweep.pipeline.system.process import set_up_process

    importlib.import_module("scoresweep.pipeline.rules.sweep")  # what a job imports
    set_up_process(1)
    plan, known, device, tflops = pickle.loads(pickled)
    start = time.process_time()
    quiet = contextlib.redirect_stderr(io.StringIO())  # what it stages is not of the study
    with quiet, explain_out_of_memory(lambda: OUT_OF_MEMORY):
        found = time_unknown(plan, known, device, tflops)
    slowdown = max(1.0, (time.time() - submitted) / time.process_time())
    if device == "cpu" and tflops is None:
        found = scaled(found, slowdown)
    found.start_seconds, found.slowdown = slowdown * start, slowdown
    return found


def scaled(costs: Costs, factor: float) -> Costs:
    """Return costs of which all seconds are multiplied by `factor`."""
    found = dataclasses.replace(costs)
    for field in dataclasses.fields(Costs):
        value = getattr(costs, field.name)
        if field.name.endswith("_seconds") and isinstance(value, dict):
            setattr(found, field.name, {key: factor * each for key, each in value.items()})
    found.measuring = {
        k: Measuring(factor * a, factor * b) for k, (a, b) in costs.measuring.items()
    }
    return found


def mean_costs(parts: list[Costs]) -> Costs:
    """Return the mean of each cost over `parts`, which have the same keys."""
    mean = dataclasses.replace(parts[0])
    for field in dataclasses.fields(Costs):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], dict):
            setattr(mean, field.name, {key: _mean([v[key] for v in values]) for key in values[0]})
        elif isinstance(values[0], float):
            setattr(mean, field.name, statistics.fmean(values))
    return mean


def _mean(values: list[Any]) -> Any:
    """Return the mean of numbers, or of the costs of measuring; of others, the first."""
    first = values[0]
    if isinstance(first, Measuring):
        return Measuring(*(statistics.fmean(part) for part in zip(*values, strict=True)))
    return statistics.fmean(values) if isinstance(first, float) else first
