"""Whether a result of the study is measured already."""

from __future__ import annotations

from scoresweep.pipeline.results import (
    data_of,
    metrics_of,
    network_of,
    samples_of,
    score_error_of,
)
from scoresweep.pipeline.results.made_by import other_code
from scoresweep.pipeline.study import Plan

__all__ = ["is_measured"]


def is_measured(
    plan: Plan, run_id: str, setting_id: str | None = None, *, this_code: bool = False
) -> bool:
    """Whether a run's score error, or a setting's metrics, are those of what is there now.

    With `this_code`, only if this code has measured them.
    """
    data = data_of(plan.paths, plan.run(run_id).dataset.id)
    network = network_of(plan.paths, run_id, data)
    if setting_id is None:
        error = score_error_of(plan, run_id, network, data)
        return error.state == "done" and not (this_code and other_code(error.output, "score_error"))
    samples = samples_of(plan.paths, run_id, setting_id, network, data)
    metrics = metrics_of(plan, run_id, setting_id, samples, data)
    if this_code and metrics.state == "done" and other_code(metrics.output, "metrics"):
        return False
    return all(result.state == "done" for result in (network, samples, metrics))
