"""Rule `reference`: the features of real samples, with which generated ones are compared."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
import xarray as xr

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.evaluation.extractor_loading import load_or_fit_weights, make_extractor
from scoresweep.pipeline.evaluation.real_features import extract_features, uniform_noise
from scoresweep.pipeline.evaluation.sample_metrics import compute_cost, random_subset, write_dataset
from scoresweep.pipeline.results import recorded_dataset
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.device import select_device

__all__ = ["reference"]

NOISE = 1000
"""Most samples of uniform noise, which tell what bad values look like."""


def reference(plan: Plan, dataset_id: str, extractor: str, gpus: int = 0) -> None:
    """Write the features of a dataset's real samples, after fitting the extractor to it.

    Beside the features of real samples and of uniform noise the file holds mean and covariance of
    the training ones, which every comparison needs. All studies of the same `evaluate.real_count`
    share it, and all share the extractor's own weights: they depend on the dataset alone, and are
    fitted where no file holds those of this dataset and of the extractor's recipe. Its attributes
    tell which weights were used.

    Raises:
        InputError: if the dataset does not have what the extractor needs, the extractor's
            published weights cannot be had, or there is no GPU for it.
    """
    started, device, code = time.monotonic(), select_device(gpus), current_code("features")
    dataset, layout, count = plan.dataset(dataset_id), plan.paths, plan.study.evaluate.real_count
    store = layout.dataset_store(dataset.id)
    train, test = read_split(store, "train"), read_split(store, "test")
    model = make_extractor(extractor, train, dataset.id)
    weights = load_or_fit_weights(model, train, layout.extractor_weights(dataset.id, extractor))
    content = xr.Dataset(
        attrs={"dataset": dataset.id, "extractor": extractor, "resize": model.resize}
        | weights
        | made_from_attribute({"data": recorded_dataset(layout, dataset.id).sha256})
    )
    noise = uniform_noise(train, min(NOISE, len(train.values)))
    train, test = _some(train, count, "train"), _some(test, count, "test")
    features = {}
    for split, part in (
        ("train", train.model_space()),
        ("test", test.model_space()),
        ("noise", noise),
    ):
        found = features[split] = extract_features(
            model, part, f"{extractor} of {dataset.id} {split}", device
        )
        sample = f"{split}_sample"
        content[f"{split}_features"] = ((sample, "feature"), found.values.numpy())
        if found.probabilities is not None:
            content[f"{split}_probabilities"] = ((sample, "class"), found.probabilities.numpy())
    real = features["train"]
    content["train_mean"] = ("feature", real.mean.numpy())
    content["train_covariance_factor"] = (("row", "feature"), real.covariance_factor.numpy())
    probabilities = features["test"].probabilities
    if probabilities is not None and test.labels is not None:
        right = probabilities.argmax(dim=1) == torch.from_numpy(test.labels)
        content.attrs["test_accuracy"] = float(right.double().mean())
    content.attrs |= compute_cost(started, device) | code.attribute()
    write_dataset(content, plan.reference(dataset.id, extractor))


def _some(split: Split, count: int | None, name: str) -> Split:
    """Return `count` of the samples, drawn at random; None: all."""
    if count is None:
        return split
    index = random_subset(len(split.values), count, "real", name).numpy()
    labels = None if split.labels is None else split.labels[index]
    return replace(split, values=split.values[index], labels=labels)


# ── Weights ─────────────────────────────────────────────────────────────────────────────────────


# ── Features ────────────────────────────────────────────────────────────────────────────────────
