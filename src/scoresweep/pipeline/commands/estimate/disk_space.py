"""Number and size of the files of a study."""

from __future__ import annotations

import math

from scoresweep.pipeline.commands.estimate.costs import Costs, network_key
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.dataset_size import dataset_size

__all__ = ["bytes_of_study", "files_of_study", "format_bytes"]

FILES_PER_RUN, FILES_PER_SETTING = 25, 18
"""Approximate number of files of a run, and of a setting of a run."""

CHECKPOINT_BYTES = 16
"""Bytes of a checkpoint per parameter: float32 weights, EMA and Adam's two moments."""


def files_of_study(plan: Plan) -> int:
    """Return the approximate number of files that the study writes."""
    return len(plan.runs) * (FILES_PER_RUN + len(plan.settings) * FILES_PER_SETTING)


def bytes_of_study(plan: Plan, costs: Costs) -> float | None:
    """Return the bytes of data, networks and samples; None if a sample shape is unknown."""
    total = 0.0
    for dataset in plan.study.dataset:
        size = dataset_size(plan.paths, dataset)
        if size is None:
            return None
        shape, count = size
        bytes_per_sample = math.prod(shape) * (1 if len(shape) == 3 else 4)
        runs = [run for run in plan.runs if run.dataset.id == dataset.id]
        drawn = sum(setting.sample.count for setting in plan.settings)
        total += bytes_per_sample * (count + len(runs) * drawn)
        parameters = sum(costs.parameters.get(network_key(run), 0) for run in runs)
        total += parameters * (4 + CHECKPOINT_BYTES)
    return total


def format_bytes(size: float) -> str:
    """Return a size such as "3.2 MB"."""
    power = min(4, int(math.log(max(size, 1), 1000)))
    return f"{size / 1000**power:.3g} {['B', 'kB', 'MB', 'GB', 'TB'][power]}"
