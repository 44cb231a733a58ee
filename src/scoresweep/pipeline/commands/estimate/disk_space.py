"""Number and size of the files of a study."""

from __future__ import annotations

import itertools
import math

from scoresweep.pipeline.commands.estimate.costs import (
    Costs,
    network_key,
    samples_by_store,
    samples_of_steps,
)
from scoresweep.pipeline.study import Plan, Run
from scoresweep.pipeline.study.dataset_size import dataset_size
from scoresweep.pipeline.study.expected_stages import expected_stages
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.metrics import SAMPLE_HASH_BYTES, ExtractorFacts
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredExtractor

__all__ = ["bytes_of_features", "bytes_of_study", "files_of_study", "format_bytes"]

FILES_PER_RUN, FILES_PER_SETTING, FILES_PER_KEPT = 25, 18, 3
"""Approximate number of files of a run, of a setting of a run, and of further weights of a run."""

BYTES_PER_RUN, BYTES_PER_SETTING, BYTES_OF_REPORT = 40_000, 90_000, 6_000_000
"""Approximate bytes of a run and of a setting without weights and samples: metrics, manifests and
progress files; and of the report."""

BYTES_PER_WEIGHT = 4
"""Bytes of a float32 weight."""

CHECKPOINT_BYTES = 16
"""Bytes of a checkpoint per parameter: float32 weights, one EMA and Adam's two moments."""

BYTES_PER_FEATURE = 4
"""Bytes of a kept feature."""


def files_of_study(plan: Plan) -> int:
    """Return the approximate number of files that the study writes."""
    features = len(samples_by_store(plan)) * len(_kept_extractors(plan))
    per_run = FILES_PER_RUN + len(plan.settings) * FILES_PER_SETTING + features
    trained = [run.train for run in plan.runs if run.train.network.is_trained]
    kept = sum(len(train.decays) * len(train.kept_steps) - 1 for train in trained)
    return len(plan.runs) * per_run + FILES_PER_KEPT * kept


def bytes_of_study(plan: Plan, costs: Costs) -> float | None:
    """Return the approximate bytes that the study writes; None if a shape is unknown."""
    per_run = BYTES_PER_RUN + BYTES_PER_SETTING * len(plan.settings)
    total = float(bytes_of_features(plan) + BYTES_OF_REPORT + len(plan.runs) * per_run)
    drawn = _samples_per_run(plan)
    for dataset in plan.study.dataset:
        size = dataset_size(plan.paths, dataset)
        if size is None:
            return None
        shape, count = size
        bytes_per_sample = math.prod(shape) * (1 if len(shape) == 3 else 4)
        runs = [run for run in plan.runs if run.dataset.id == dataset.id]
        steps = sum(samples_of_steps(run, setting) for run in runs for setting in plan.settings)
        total += bytes_per_sample * (count + len(runs) * drawn + steps)
        total += sum(costs.parameters.get(network_key(run), 0) * _copies_of(run) for run in runs)
    return total


def _copies_of(run: Run) -> int:
    """Return the bytes that a run writes per parameter: its checkpoint and averaged weights."""
    decays, kept = len(run.train.decays), len(run.train.kept_steps)
    if not run.train.network.is_trained:
        decays, kept = 1, 1
    return CHECKPOINT_BYTES + BYTES_PER_WEIGHT * (decays - 1 + decays * kept)


def bytes_of_features(plan: Plan) -> int:
    """Return the bytes of the features of generated samples that the study keeps.

    The number of features of a plugin's extractor is counted in a trial run; it is left out if the
    shape of the samples is unknown.
    """
    bytes_per_sample = dict.fromkeys((dataset.id for dataset in plan.study.dataset), 0)
    for dataset, extractor in itertools.product(plan.study.dataset, _kept_extractors(plan)):
        number = _num_features(plan, extractor, dataset)
        if number is not None:
            bytes_per_sample[dataset.id] += number * BYTES_PER_FEATURE + SAMPLE_HASH_BYTES
    return _samples_per_run(plan) * sum(bytes_per_sample[run.dataset.id] for run in plan.runs)


def _num_features(plan: Plan, extractor: ExtractorFacts, dataset: Dataset) -> int | None:
    """Return the number of features of a sample; None if it is unknown."""
    size = dataset_size(plan.paths, dataset)
    if not isinstance(extractor.method, DeclaredExtractor) or size is None:
        return extractor.num_features
    from scoresweep.pipeline.evaluation.plugin_extractor import num_features

    return num_features(extractor.method, tuple(size[0]))


def _samples_per_run(plan: Plan) -> int:
    """Return the number of samples in the stores of a run; settings may share a store.

    With successive halving, each count adds samples of the settings that go on to it.
    """
    if plan.halving:
        stages = expected_stages(plan)
        before = [0, *(count for count, _ in stages)]
        return sum((count - less) * n for (count, n), less in zip(stages, before, strict=False))
    return sum(samples_by_store(plan).values())


def _kept_extractors(plan: Plan) -> list[ExtractorFacts]:
    """Return the extractors whose features are kept."""
    if not plan.study.evaluate.keep_features:
        return []
    return [extractor for extractor in plan.extractors.values() if extractor.is_kept]


def format_bytes(size: float) -> str:
    """Return a size such as "3.2 MB"."""
    power = min(4, int(math.log(max(size, 1), 1000)))
    return f"{size / 1000**power:.3g} {['B', 'kB', 'MB', 'GB', 'TB'][power]}"
