"""Time the work of a study's jobs in this process, where no earlier job shows it."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from scoresweep.pipeline.commands.estimate.costs import (
    Costs,
    Key,
    Measuring,
    image_key,
    measuring_key,
    network_key,
    sample_key,
    train_key,
)
from scoresweep.pipeline.commands.estimate.count_operations import count_network
from scoresweep.pipeline.commands.estimate.levels import num_levels
from scoresweep.pipeline.commands.estimate.probe_data import (
    ProbeData,
    data_counts,
    prepare_data,
)
from scoresweep.pipeline.commands.estimate.probe_metrics import (
    ExtractorTimes,
    exact_score_seconds,
    metric_seconds,
    time_extractor,
)
from scoresweep.pipeline.commands.estimate.probe_network import time_network
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.evaluation.extractor_loading import make_extractor
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.methods.datasets import Dataset

__all__ = ["time_unknown"]

MAX_NETWORKS = 8
"""Number of networks to time; the others are assumed to cost as much as these on average."""

MAX_COUNTS = 2
"""Numbers of samples at which metrics are timed, the smallest and the largest; the others are
interpolated."""


def time_unknown(
    plan: Plan, known: Costs, device: str = "cpu", tflops: float | None = None
) -> Costs:
    """Return the costs that `known` lacks and the study needs, from timing a little of each.

    Networks are timed on `device`, or their operations are counted for a GPU of `tflops` · 10¹²
    operations per second; everything else is timed on the CPU. Raises `InputError` if the code of a
    plugin fails.
    """
    found = Costs()
    with tempfile.TemporaryDirectory() as folder:
        there = replace(plan, paths=replace(plan.paths, root=Path(folder)))
        for dataset in plan.study.dataset:
            data = prepare_data(plan, dataset, there)
            if data is None:
                continue
            try:
                _time_data(there, dataset, data, plan, known, found)
                _time_networks(there, dataset, data, known, found, device, tflops)
            except RunError as error:  # of a plugin
                raise InputError(str(error)) from None
    return found


# ── Data and metrics ────────────────────────────────────────────────────────────────────────────


def _time_data(
    there: Plan, dataset: Dataset, data: ProbeData, plan: Plan, known: Costs, found: Costs
) -> None:
    """Time staging, the features of real samples, the metrics and the exact score."""
    if data.seconds is not None:
        found.stage_seconds[dataset.id] = data.seconds
    real = RealData(there, dataset.id)
    train, test = data_counts(plan, dataset)
    found.exact_seconds[dataset.id] = exact_score_seconds(real, train)
    limit = plan.study.evaluate.real_count
    if limit is not None:
        train, test = min(train, limit), min(test, limit)
    times = {}
    for key, facts in plan.extractors.items():
        model = make_extractor(facts, real.train, dataset.id)
        times[key] = time_extractor(model, real.train.shape)
        both = train + test + min(1000, train)
        seconds = times[key].fit_seconds + times[key].seconds(both)
        found.reference_seconds[dataset.id, key] = seconds
    counts = sorted({count for setting in plan.settings for count in _counts(setting)})
    ends = sorted({counts[0], counts[-1]})
    missing = [count for count in ends if measuring_key(dataset, count) not in known.measuring]
    for count in missing:
        measured = _time_measuring(plan, real, times, (train, test, count))
        found.measuring[measuring_key(dataset, count)] = measured


def _counts(setting: Setting) -> list[int]:
    best = setting.sample.best_step
    more = [best.count] if best and setting.sample.training_step == "best" else []
    return [setting.sample.count, *setting.ids, *more]


def _time_measuring(
    plan: Plan, real: RealData, times: dict[str, ExtractorTimes], counts: tuple[int, int, int]
) -> Measuring:
    """Time the metrics of a set of samples, and the features that they need."""
    dims = {key: each.num_features for key, each in times.items()}
    parts = [metric_seconds(block, real, dims, counts) for block in plan.evaluate_blocks]
    features = sum(each.seconds(counts[2]) for each in times.values())
    return Measuring(features + sum(each for each, _ in parts), sum(more for _, more in parts))


# ── Networks ────────────────────────────────────────────────────────────────────────────────────


def _time_networks(
    there: Plan,
    dataset: Dataset,
    data: ProbeData,
    known: Costs,
    found: Costs,
    device: str,
    tflops: float | None,
) -> None:
    """Time the networks of the runs on a dataset, or count their operations."""
    unknown: dict[tuple[Key, Key], tuple[Run, Setting]] = {}
    for run, setting in _pairs(there, dataset):
        keys = train_key(run), sample_key(run, setting)
        if keys[0] not in known.step_seconds or keys[1] not in known.sample_seconds:
            unknown.setdefault(keys, (run, setting))
        noise = setting.sample.noise or run.train.noise
        level_key = (dataset.id, noise.model_dump_json())
        if data.is_real and known.levels.get(level_key) is None and level_key not in found.levels:
            found.levels[level_key] = num_levels(there, noise, dataset)
    for (train, sample), (run, setting) in list(unknown.items())[:MAX_NETWORKS]:
        is_trained = run.train.network.is_trained
        if tflops is None:
            times = time_network(run, setting, there.paths, device)
        else:
            times = count_network(run, there.paths, tflops)
        share = 1.0 if is_trained else data.share
        found.step_seconds.setdefault(train, times.step_seconds)
        found.sample_seconds.setdefault(sample, times.sample_seconds * share)
        found.image_seconds.setdefault(image_key(run), times.image_seconds)
        found.parameters[network_key(run)] = times.parameters
        found.probes += 1
    if len(unknown) > MAX_NETWORKS:
        for train, sample in unknown:
            found.step_seconds.setdefault(train, statistics.mean(found.step_seconds.values()))
            found.sample_seconds.setdefault(sample, statistics.mean(found.sample_seconds.values()))


def _pairs(plan: Plan, dataset: Dataset) -> Iterator[tuple[Run, Setting]]:
    runs = [run for run in plan.runs if run.dataset.id == dataset.id]
    return ((run, setting) for run in runs for setting in plan.settings)
