"""A made-up study with successive halving, for tests of its stages and of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faked_study import CONTENT, fake_metrics, fake_plan

from scoresweep.pipeline.results import Results, examine_results
from scoresweep.pipeline.study import Plan

STEPS = [8e-5, 5e-6, 2e-5, 4e-5, 1e-5, 1e-6]
"""Step sizes, of which 2e-5 is the best, and 4e-5 and 1e-5 are the next (`frechet`)."""

HALVING = {"measure": "frechet_classifier", "counts": [10, 15], "keep": 0.5}


def halving_plan(root: Path, halving: dict[str, Any] | None = None, **sample: Any) -> Plan:
    """Two networks of one seed each, six settings of 10, 15 and then 20 samples."""
    train = CONTENT["train"] | {"grid": {"noise.levels": [6, 4]}}
    sample = {"grid": {"sampler.step_size": STEPS}, "halving": HALVING | (halving or {})} | sample
    return fake_plan(root, train=train, sample=CONTENT["sample"] | sample)


def measure_due(study: Plan) -> Results:
    """Measure what is due until nothing is; return the results."""
    for _ in range(len(study.counts) + 1):
        results = examine_results(study)
        due = [key[1:] for key, r in results.by_key.items() if r.is_due and key[0] == "evaluate"]
        for run, setting in due:
            fake_metrics(study, study.run(run), study.setting(setting))
        if not due:
            return results
    raise AssertionError("something is due for ever")
