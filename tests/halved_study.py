"""A made-up study with successive halving, for tests of its stages and of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faked_study import (
    CONTENT,
    fake_dataset,
    fake_metrics,
    fake_plan,
    fake_reference,
    fake_run,
    fake_samples,
    fake_score_error,
)

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


def prepare(study: Plan) -> None:
    """Write everything but the metrics; the stores hold all samples that any stage needs."""
    for dataset in study.study.dataset:
        if not study.paths.dataset_manifest(dataset.id).exists():
            fake_dataset(study, dataset.id)
        for extractor in study.extractors:
            fake_reference(study.reference(dataset.id, extractor))
    for run in study.runs:
        fake_run(study, run)
        fake_score_error(study, run)
        for setting in study.settings:
            fake_samples(study, run, setting)


def measure_due(study: Plan) -> Results:
    """Measure what is due until nothing is; return the results."""
    for _ in range(len(study.counts) + 1):
        results = examine_results(study)
        due = [key[1:] for key, result in results.by_key.items() if result.is_due]
        for ids in due:
            if len(ids) == 2:
                fake_metrics(study, study.run(ids[0]), study.setting(ids[1]))
        if not [ids for ids in due if len(ids) == 2]:
            return results
    raise AssertionError("something is due for ever")
