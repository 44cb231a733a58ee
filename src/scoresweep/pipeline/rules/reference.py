"""Rule `reference`: features of real samples, with which generated samples are compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
import xarray as xr

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.evaluation.extractor_loading import load_or_fit_weights, make_extractor
from scoresweep.pipeline.evaluation.measurement_files import compute_cost, write_dataset
from scoresweep.pipeline.evaluation.plugin_extractor import PluginExtractor
from scoresweep.pipeline.evaluation.real_features import extract_features, uniform_noise
from scoresweep.pipeline.evaluation.subsets import random_subset
from scoresweep.pipeline.results import recorded_dataset
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.results.plugin_copies import record_plugins
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.device import select_device

__all__ = ["reference"]

MAX_NOISE = 1000
"""Maximum number of samples of uniform noise, which show what bad values look like."""


def reference(plan: Plan, dataset_id: str, extractor: str, gpus: int = 0) -> None:
    """Write the features of a dataset's real samples and of uniform noise.

    `extractor` is its key.

    The extractor is fitted to the whole dataset first, if it has no published weights; all studies
    share its weights. The file also holds mean and covariance of the training features, which every
    comparison needs, and attributes that name the weights. All studies with the same
    `evaluate.real_count` share it.

    Raises:
        InputError: if the dataset lacks what the extractor needs, its published weights cannot be
            fetched, or there is no GPU.
    """
    started, device, code = time.monotonic(), select_device(gpus), current_code("features")
    dataset, paths = plan.dataset(dataset_id), plan.paths
    store = paths.dataset_store(dataset.id)
    train, test = read_split(store, "train"), read_split(store, "test")
    model = make_extractor(plan.extractors[extractor], train, dataset.id)
    weights = load_or_fit_weights(model, train, paths.extractor_weights(dataset.id, extractor))
    noise = uniform_noise(train, min(MAX_NOISE, len(train.values)))
    count = plan.study.evaluate.real_count
    train, test = _subset(train, count, "train"), _subset(test, count, "test")
    samples = {"train": train.model_space(), "test": test.model_space(), "noise": noise}
    features = {
        name: extract_features(model, part, f"{model.name} of {dataset.id} {name}", device)
        for name, part in samples.items()
    }
    _check_finite(model, features)
    content = _feature_dataset(features)
    content.attrs = {"dataset": dataset.id, "extractor": extractor, "resize": model.resize}
    content.attrs |= weights
    content.attrs |= record_plugins(paths, *filter(None, [plan.extractors[extractor].method]))
    content.attrs |= made_from_attribute({"data": recorded_dataset(paths, dataset.id).sha256})
    probabilities = features["test"].probabilities
    if probabilities is not None and test.labels is not None:
        correct = probabilities.argmax(dim=1) == torch.from_numpy(test.labels)
        content.attrs["test_accuracy"] = float(correct.double().mean())
    content.attrs |= compute_cost(started, device) | code.attribute()
    write_dataset(content, plan.reference(dataset.id, extractor))


def _check_finite(model: Extractor, features: Mapping[str, Features]) -> None:
    """Raise `RunError` if the extractor of a plugin gives real samples features like NaN."""
    for name in ("train", "test") if isinstance(model, PluginExtractor) else ():
        if count := features[name].num_nonfinite:
            raise RunError(
                f"{model.origin}: the features of {count:,} of {len(features[name]):,} {name} "
                f"samples are not finite"
            )


def _subset(split: Split, count: int | None, name: str) -> Split:
    """Return `count` random samples; None: all."""
    if count is None:
        return split
    index = random_subset(len(split.values), count, "real", name).numpy()
    labels = None if split.labels is None else split.labels[index]
    return replace(split, values=split.values[index], labels=labels)


def _feature_dataset(features: dict[str, Features]) -> xr.Dataset:
    content = xr.Dataset()
    for name, part in features.items():
        sample = f"{name}_sample"
        content[f"{name}_features"] = ((sample, "feature"), part.values.numpy())
        if part.probabilities is not None:
            content[f"{name}_probabilities"] = ((sample, "class"), part.probabilities.numpy())
    train = features["train"]
    content["train_mean"] = ("feature", train.mean.numpy())
    content["train_covariance_factor"] = (("row", "feature"), train.covariance_factor.numpy())
    return content
