"""Rules `score_error` and `evaluate`: measure networks and samples."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from scoresweep.metrics.features import Features
from scoresweep.metrics.score_error import compare_scores
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.sources.shapes import class_shares
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.evaluation.extractor_loading import load_extractor
from scoresweep.pipeline.evaluation.metric_cache import MetricCache
from scoresweep.pipeline.evaluation.real_features import (
    extract_features,
    read_attribute,
    read_reference,
    uniform_noise,
)
from scoresweep.pipeline.evaluation.sample_metrics import (
    NO_EXTRACTOR,
    DatasetFacts,
    FeatureSets,
    compute_cost,
    join_evaluations,
    measure_samples,
    random_subset,
    snr_dataset,
    trajectory_error_dataset,
    write_dataset,
)
from scoresweep.pipeline.results import (
    network_state,
    recorded_dataset,
    samples_state,
)
from scoresweep.pipeline.results.code_version import MADE_BY, current_code
from scoresweep.pipeline.results.input_hashes import MADE_FROM, made_from_attribute
from scoresweep.pipeline.sampling.sample_store import (
    Trajectories,
    read_levels,
    read_samples,
    read_trajectories,
)
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.methods.datasets import GaussianMixtureData, Shapes
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.device import move_exact_score, move_network, select_device
from scoresweep.pipeline.training.weights import load_network

__all__ = ["evaluate"]

NAMED = 3
"""Most samples that are not finite of which an error gives the numbers."""


# ── Generated samples ───────────────────────────────────────────────────────────────────────────


def evaluate(plan: Plan, run_id: str, setting_id: str, gpus: int = 0) -> None:
    """Write every metric of the samples that a setting drew from a run's network.

    A metric that cannot be had from these samples, of too few of them say, is left out and the
    others are measured: the attribute `problems` of the file says why, as a JSON object by "metric
    on extractor", and so does the terminal. Samples that are not finite are not measured at all:
    no part of them stands for what the sampler draws.

    Raises:
        InputError: if files are missing, none of the metrics can be had, or there is no GPU for it.
        RunError: if the samples are damaged or not finite.
    """
    started, device, code = time.monotonic(), select_device(gpus), current_code("metrics")
    run, setting = plan.run(run_id), plan.setting(setting_id)
    train = read_split(plan.paths.dataset_store(run.dataset.id), "train")
    data = recorded_dataset(plan.paths, run.dataset.id)
    network = network_state(plan.paths, run.id, data)
    made_from = samples_state(plan.paths, run.id, setting.id, network, data).hashes
    made_from |= {"data": data.sha256}
    samples, kept, levels = _read_drawn(plan, run, setting)

    @functools.cache
    def sets(name: str) -> FeatureSets:
        if name == NO_EXTRACTOR:
            return _sets_of_samples(plan, run, train, samples)
        return _make_sets(plan, run, name, train, samples, device)

    origin = _origin(plan, run, train)
    earlier = MetricCache(
        plan.paths.metrics(run.id, setting.id),
        functools.cache(functools.partial(_inputs, plan, run, made_from)),
    )
    paths = _path_score_error(plan, run, kept, device)
    parts, problems = [], dict[str, str]()
    for evaluation in plan.evaluations:
        keep = functools.partial(earlier.keep, evaluation.axes)
        content, missed = measure_samples(evaluation.evaluate, sets, origin, earlier.find, keep)
        _add_problems(problems, missed, evaluation.axes)
        if "score_error" in evaluation.evaluate.metrics and paths is not None:
            content = content.merge(paths)
        parts.append((content, evaluation.axes))
    _say_problems(run, setting, problems, is_all=not any(content for content, _ in parts))
    if setting.sample.sampler.is_langevin:
        signal = snr_dataset(levels)
        parts = [(content.merge(signal, compat="no_conflicts"), axes) for content, axes in parts]
    attributes: dict[str, Any] = {"run": run.id, "setting": setting.id, "dataset": run.dataset.id}
    attributes |= {"measured": plan.evaluate_hash()} | made_from_attribute(made_from)
    if problems:
        attributes["problems"] = json.dumps(problems, ensure_ascii=False)
    attributes |= compute_cost(started, device) | code.attribute()
    attributes["seconds"] += earlier.seconds
    content = join_evaluations(parts).assign_attrs(attributes)
    content.attrs |= earlier.attribute(content)
    earlier.keep_present(plan.evaluate_hash())
    write_dataset(content, plan.paths.metrics(run.id, setting.id))


def _inputs(plan: Plan, run: Run, made_from: Mapping[str, str | None], extractor: str) -> str:
    """Return a hash of what metrics on an extractor are computed from, beside their options."""
    if extractor == NO_EXTRACTOR:
        return content_hash(dict(made_from))
    path = plan.reference(run.dataset.id, extractor)
    real = [str(read_attribute(path, name)) for name in ("weights_sha256", MADE_FROM, MADE_BY)]
    return content_hash(dict(made_from), path.name, real)


def _add_problems(problems: dict[str, str], missed: Mapping[str, str], axes: Point) -> None:
    """Add to `problems` why metrics are left out, at the point of the evaluation grid `axes`."""
    where = ", ".join(f"{axis} {value}" for axis, value in axes.items())
    for metric, reason in missed.items():
        before = f"{problems[metric]}; " if metric in problems else ""
        problems[metric] = before + reason + (f" ({where})" if where else "")


def _say_problems(run: Run, setting: Setting, problems: Mapping[str, str], *, is_all: bool) -> None:
    """Name the metrics that cannot be had; raises InputError where there is no other."""
    if not problems:
        return
    reasons = [f"{metric}: {reason}" for metric, reason in problems.items()]
    advice = (
        "Draw more samples (sample.count), or lower evaluate.neighbours or evaluate.resamplings."
    )
    where = f"run {run.id}, setting {setting.id}"
    if is_all:
        raise InputError(f"{where}: nothing can be measured: {'. '.join(reasons)}. {advice}")
    say(f"{where}: measured, but not all of it:")
    for reason in reasons:
        say(f"  {reason}")
    say(advice)


def _read_drawn(
    plan: Plan, run: Run, setting: Setting
) -> tuple[Tensor, Trajectories | None, dict[str, npt.NDArray[Any]]]:
    """Return the samples in model space, their paths if these were kept, and their levels.

    Samples that are damaged or not finite, as `sample` writes none, lose their manifest, so that
    the workflow draws them again.
    """
    store = plan.paths.samples(run.id, setting.id)
    manifest, where = manifest_path(store), f"run {run.id}, setting {setting.id}"
    if not manifest.exists():
        raise InputError(f"{store}: there are no samples here; draw them (`scoresweep sample`)")
    try:
        samples, paths = read_samples(store).model_space(), read_trajectories(store)
        levels = read_levels(store) if setting.sample.sampler.is_langevin else {}
        _check_finite(samples, where, setting.sample.chunk)
    except (InputError, RunError, FileNotFoundError) as error:
        manifest.unlink(missing_ok=True)
        plan.paths.samples_manifest_copy(run.id, setting.id).unlink(missing_ok=True)
        raise RunError(f"{error} Running the study again does so as well.") from error
    if len(samples) < 2:
        raise InputError(f"{where}: {len(samples)} sample; metrics need 2 or more (sample.count)")
    return samples, paths, levels


def _check_finite(samples: Tensor, where: str, chunk: int) -> None:
    """Raise RunError with the numbers of samples that are not finite."""
    bad = (~torch.isfinite(samples.flatten(1)).all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        first = ", ".join(str(index) for index in bad[:NAMED]) + ", …" * (len(bad) > NAMED)
        raise RunError(
            f"{where}: {len(bad)} of {len(samples)} samples are not finite (from 0: {first}; the "
            f"first in chunk {bad[0] // chunk}). Nothing was measured. Draw them again "
            f"(`scoresweep sample`)."
        )


def _origin(plan: Plan, run: Run, train: Split) -> DatasetFacts:
    """Return what is known of a run's data beyond its samples."""
    mixture = shares = None
    if isinstance(run.dataset, GaussianMixtureData):
        mixture = load_exact_score(plan.paths.dataset_store(run.dataset.id))
    if isinstance(run.dataset, Shapes):
        asked = (run.dataset.shares or {}).items()
        shares = torch.from_numpy(class_shares({str(name): share for name, share in asked}))
    return DatasetFacts(train.class_names, mixture, shares)


def _sets_of_samples(plan: Plan, run: Run, train: Split, samples: Tensor) -> FeatureSets:
    """Return the samples themselves as features."""
    test = read_split(plan.paths.dataset_store(run.dataset.id), "test").model_space()
    test = test[random_subset(len(test), len(samples), "test")]
    parts = (train.model_space(), samples, test, uniform_noise(train, len(samples)))
    real, drawn, tested, uniform = (Features(part.flatten(1)) for part in parts)
    return FeatureSets(real, drawn, tested, uniform, resize="none")


def _make_sets(
    plan: Plan, run: Run, name: str, train: Split, samples: Tensor, device: torch.device
) -> FeatureSets:
    real = read_reference(plan, run, name)
    model = load_extractor(plan, run, name, train)
    test, noise = (
        real[part][random_subset(len(real[part]), len(samples), part)] for part in ("test", "noise")
    )
    generated = extract_features(model, samples, f"{name} of generated samples", device)
    return FeatureSets(real["train"], generated, test, noise, model.resize)


def _path_score_error(
    plan: Plan, run: Run, paths: Trajectories | None, device: torch.device
) -> xr.Dataset | None:
    """Return the score error at the sampler's own states, where trajectories were kept."""
    if paths is None or not plan.measures_score_error:
        return None
    states = torch.from_numpy(paths.states)
    network = move_network(load_network(plan.paths.run(run.id)), device)
    oracle = move_exact_score(load_exact_score(plan.paths.dataset_store(run.dataset.id)), device)
    estimates = [
        compare_scores(network, oracle, states[:, level], sigma)["score_error_sigma2"]
        for level, sigma in enumerate(paths.sigmas)
    ]
    return trajectory_error_dataset(estimates, paths.sigmas, len(states))
