"""Costs of a study's work as if they had been timed, in round numbers."""

from __future__ import annotations

from scoresweep.pipeline.commands.estimate.costs import (
    Costs,
    Measuring,
    measuring_key,
    network_key,
    sample_key,
    train_key,
)
from scoresweep.pipeline.commands.estimate.levels import sample_shape
from scoresweep.pipeline.study import Plan

START, STEP, SAMPLE, MEASURE, FIRST, REFERENCE, STAGE = 2.0, 0.5, 1e-3, 4.0, 1.0, 7.0, 3.0
"""Seconds of a start-up, a training step, a score evaluation of a sample, measuring a set of
samples, the first set in addition, the features of real samples, and staging."""


def known_costs(plan: Plan) -> Costs:
    """Return the costs of everything that the study does with data of known shape."""
    costs = Costs(start_seconds=START, probes=1)
    for run in plan.runs:
        if sample_shape(plan, run.dataset) is None:
            continue
        costs.step_seconds[train_key(run)] = STEP if run.train.network.is_trained else 0.0
        costs.parameters[network_key(run)] = 1000
        costs.stage_seconds[run.dataset.id] = STAGE
        costs.exact_seconds[run.dataset.id] = 0.0
        for extractor in plan.extractors:
            costs.reference_seconds[run.dataset.id, extractor] = REFERENCE
        for setting in plan.settings_by_id().values():
            costs.sample_seconds[sample_key(run, setting)] = SAMPLE
            key = measuring_key(run.dataset, setting.sample.count)
            costs.measuring[key] = Measuring(MEASURE, FIRST)
    return costs
