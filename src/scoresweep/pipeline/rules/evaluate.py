"""Rule `evaluate`: compute the metrics of generated samples."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from scoresweep.metrics.score_error import compare_scores
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.evaluation.feature_sets import (
    NO_EXTRACTOR,
    FeatureSets,
    dataset_facts,
    extract_feature_sets,
)
from scoresweep.pipeline.evaluation.measurement_files import (
    compute_cost,
    join_evaluations,
    write_dataset,
)
from scoresweep.pipeline.evaluation.metric_cache import MetricCache
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.evaluation.trajectory_metrics import snr_dataset, trajectory_error_dataset
from scoresweep.pipeline.results import network_state, recorded_dataset, samples_state
from scoresweep.pipeline.results.best_step import weights_of
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.results.plugin_copies import record_plugins
from scoresweep.pipeline.sampling.drawn_samples import read_drawn
from scoresweep.pipeline.sampling.sample_store import Trajectories
from scoresweep.pipeline.sampling.store_files import record_hashes
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.device import move_exact_score, move_network, select_device
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.training.weights import load_run_network

__all__ = ["evaluate"]

Hashes = Mapping[str, str | None]

MORE_SAMPLES = (
    "Draw more samples (sample.count), or lower evaluate.neighbours or evaluate.resamplings."
)
"""What to do if metrics fail."""


def evaluate(
    plan: Plan, run_id: str, setting_id: str, gpus: int = 0, real: RealData | None = None
) -> None:
    """Write every metric of the samples that a setting drew from a run's network.

    A metric that fails, for example because there are too few samples, is skipped; the others are
    still computed. The attribute `problems` of the file gives the reasons as a JSON object by
    "METRIC on EXTRACTOR", and they are printed. If any sample is not finite, nothing is computed,
    because metrics of a subset would be biased.

    `real` is the data of the run's dataset, if another setting has loaded it.

    Raises:
        InputError: if files are missing, every metric fails, or there is no GPU.
        RunError: if the samples are damaged or not finite, or every metric fails and all of them
            are of plugins.
    """
    started, device, code = time.monotonic(), select_device(gpus), current_code("metrics")
    run, setting = plan.run(run_id), plan.setting(setting_id)
    real = real or RealData(plan, run.dataset.id, gpus)
    hashes = _input_hashes(plan, run, setting)
    samples, trajectories, levels = read_drawn(plan, run, setting)
    if not hashes.get("samples"):  # not yet hashed, or read while it was replaced
        with file_lock(plan.paths.samples_lock(run.id, setting.store)):
            record_hashes(plan.paths.samples(run.id, setting.store), [setting.sample.count])
        hashes = _input_hashes(plan, run, setting)
    earlier = MetricCache(
        plan.paths.metrics(run.id, setting.id), partial(_metric_inputs, real, hashes)
    )
    parts, problems = _measure_grid(real, run, setting, samples, earlier)
    if trajectories is not None and plan.measures_score_error:
        error = _trajectory_error(plan, run, setting, trajectories, device)
        parts = _add_trajectory_error(plan, parts, error)
    where = f"run {run.id}, setting {setting.id}"
    _report_problems(plan, where, problems, all_failed=not any(content for content, _ in parts))
    if setting.sample.sampler.is_langevin:
        snr = snr_dataset(levels)
        parts = [(content.merge(snr, compat="no_conflicts"), axes) for content, axes in parts]
    attributes = _attributes(plan, run, setting, problems) | made_from_attribute(hashes)
    attributes |= compute_cost(started, device) | code.attribute()
    attributes["seconds"] += earlier.seconds
    content = join_evaluations(parts).assign_attrs(attributes)
    content.attrs |= earlier.attribute(content)
    earlier.keep_current_file(plan.evaluate_hash())
    write_dataset(content, plan.paths.metrics(run.id, setting.id))


def _attributes(
    plan: Plan, run: Run, setting: Setting, problems: Mapping[str, str]
) -> dict[str, Any]:
    """Return the attributes that name what was measured, with which options, and what failed."""
    named = {"run": run.id, "setting": setting.id, "dataset": run.dataset.id}
    named["measured"] = plan.evaluate_hash()
    if problems:
        named["problems"] = json.dumps(problems, ensure_ascii=False)
    return named | record_plugins(plan.paths, *plan.evaluate_blocks)


def _measure_grid(
    real: RealData, run: Run, setting: Setting, samples: Tensor, earlier: MetricCache
) -> tuple[list[tuple[xr.Dataset, Point]], dict[str, str]]:
    """Compute the metrics at each point of the evaluation grid, and the reasons for failures."""
    plan, facts = real.plan, dataset_facts(real)

    @cache
    def sets(extractor: str) -> FeatureSets:
        is_kept = extractor != NO_EXTRACTOR and plan.extractors[extractor].is_kept
        keeps = plan.study.evaluate.keep_features and is_kept
        file = plan.paths.features(run.id, setting.store, extractor) if keeps else None
        return extract_feature_sets(real, extractor, samples, file)

    parts, problems = [], dict[str, str]()
    for evaluation in plan.evaluations:
        keep = partial(earlier.keep, evaluation.axes)
        content, failed = measure_samples(evaluation.evaluate, sets, facts, earlier.find, keep)
        _add_problems(problems, failed, evaluation.axes)
        parts.append((content, evaluation.axes))
    return parts, problems


# ── Inputs ──────────────────────────────────────────────────────────────────────────────────────


def _input_hashes(plan: Plan, run: Run, setting: Setting) -> Hashes:
    """Return the hashes of the samples, of their inputs and of the data."""
    data = recorded_dataset(plan.paths, run.dataset.id)
    network = network_state(plan.paths, run.id, data, weights_of(plan, run, setting) or "")
    samples = samples_state(plan.paths, run.id, setting, network, data)
    return samples.hashes | {"data": data.sha256}


def _metric_inputs(real: RealData, hashes: Hashes, extractor: str) -> str:
    """Return a hash of the inputs of all metrics on an extractor, apart from their options."""
    if extractor == NO_EXTRACTOR:
        return content_hash(dict(hashes))
    file, *content = real.identity(extractor).values()
    return content_hash(dict(hashes), file, content)


# ── Trajectories ────────────────────────────────────────────────────────────────────────────────


def _trajectory_error(
    plan: Plan, run: Run, setting: Setting, trajectories: Trajectories, device: torch.device
) -> xr.Dataset:
    """Return the score error at the sampler's own states."""
    weights = weights_of(plan, run, setting) or ""
    states = torch.from_numpy(trajectories.states)
    network = move_network(load_run_network(run, plan.paths, weights), device)
    exact = move_exact_score(load_exact_score(plan.paths.dataset_store(run.dataset.id)), device)
    estimates = [
        compare_scores(network, exact, states[:, level], sigma)["score_error_sigma2"]
        for level, sigma in enumerate(trajectories.sigmas)
    ]
    return trajectory_error_dataset(estimates, trajectories.sigmas, len(states))


def _add_trajectory_error(
    plan: Plan, parts: Sequence[tuple[xr.Dataset, Point]], error: xr.Dataset
) -> list[tuple[xr.Dataset, Point]]:
    """Add the error to the grid points that measure the score error."""
    return [
        (content.merge(error) if point.evaluate.measures_score_error else content, axes)
        for point, (content, axes) in zip(plan.evaluations, parts, strict=True)
    ]


# ── Problems ────────────────────────────────────────────────────────────────────────────────────


def _add_problems(problems: dict[str, str], failed: Mapping[str, str], axes: Point) -> None:
    """Add the reasons for failures at a point of the evaluation grid to `problems`."""
    point = ", ".join(f"{axis} {value}" for axis, value in axes.items())
    for metric, reason in failed.items():
        before = f"{problems[metric]}; " if metric in problems else ""
        problems[metric] = before + reason + (f" ({point})" if point else "")


def _report_problems(
    plan: Plan, where: str, problems: Mapping[str, str], *, all_failed: bool
) -> None:
    """Print why metrics are missing.

    If all failed, raise `RunError` if they are all of plugins, and `InputError` otherwise.
    """
    if not problems:
        return
    reasons = [f"{metric}: {reason}" for metric, reason in problems.items()]
    metrics = [metric for evaluate in plan.evaluate_blocks for metric in evaluate.sample_metrics]
    of_plugins = {metric.name for metric in metrics if metric.method}
    is_plugin_only = {metric.rpartition(" on ")[0] for metric in problems} <= of_plugins
    advice = "Fix the plugin." if is_plugin_only else MORE_SAMPLES
    if all_failed:
        message = f"{where}: no metric could be computed: {'. '.join(reasons)}. {advice}"
        raise RunError(message) if is_plugin_only else InputError(message)
    say(f"{where}: some metrics could not be computed:")
    for reason in reasons:
        say(f"  {reason}")
    say(advice)
