"""Rule `reference`: the features of real samples, with which generated ones are compared."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from pathlib import Path

import torch
import xarray as xr
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from scoresweep.console import progress
from scoresweep.data.store import Split, read_split
from scoresweep.errors import InputError
from scoresweep.files import whole
from scoresweep.metrics.extractors.base import Extractor
from scoresweep.metrics.features import Features
from scoresweep.pipeline.device import CPU, device_of
from scoresweep.pipeline.measures import choose, write_dataset
from scoresweep.pipeline.published_weights import load_published_weights
from scoresweep.seeds import generator_for
from scoresweep.study import Plan, Run
from scoresweep.study.components.metrics import EXTRACTORS
from scoresweep.tensors import write_tensors

__all__ = [
    "extract",
    "load_extractor",
    "make_extractor",
    "read_reference",
    "reference",
    "uniform_noise",
]

NOISE = 1000
"""Most samples of uniform noise, which tell what bad values look like."""


def reference(plan: Plan, dataset_id: str, extractor: str, gpus: int = 0) -> None:
    """Write the features of a dataset's real samples, after fitting the extractor to it.

    Beside the features of real samples and of uniform noise the file holds mean and covariance of
    the training ones, which every comparison needs. All studies of the same `evaluate.real_count`
    share it, and all share the extractor's own weights: they depend on the dataset alone.

    Raises:
        InputError: if the dataset does not have what the extractor needs, the extractor's
            published weights cannot be had, or there is no GPU for it.
    """
    device = device_of(gpus)
    dataset, layout, count = plan.dataset(dataset_id), plan.layout, plan.study.evaluate.real_count
    store = layout.dataset_store(dataset.id)
    train, test = read_split(store, "train"), read_split(store, "test")
    model = make_extractor(extractor, train, dataset.id)
    if model.weights is None:
        labels = None if train.labels is None else torch.from_numpy(train.labels)
        model.fit(train.model_space(), labels, seed=0)
        _write_weights(model, layout.extractor_weights(dataset.id, extractor))
    content = xr.Dataset(
        attrs={"dataset": dataset.id, "extractor": extractor, "resize": model.resize}
    )
    noise = uniform_noise(train, min(NOISE, len(train.values)))
    train, test = _some(train, count, "train"), _some(test, count, "test")
    features = {}
    for split, part in (
        ("train", train.model_space()),
        ("test", test.model_space()),
        ("noise", noise),
    ):
        found = features[split] = extract(
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
    write_dataset(content, plan.reference(dataset.id, extractor))


def _some(split: Split, count: int | None, name: str) -> Split:
    """Return `count` of the samples, drawn at random; None: all."""
    if count is None:
        return split
    index = choose(len(split.values), count, "real", name).numpy()
    labels = None if split.labels is None else split.labels[index]
    return replace(split, values=split.values[index], labels=labels)


def _write_weights(model: Extractor, path: Path) -> None:
    """Write what an extractor has learned, if it learns anything."""
    if weights := model.state_dict():
        with whole(path) as temporary:
            write_tensors(temporary, weights)


def uniform_noise(train: Split, count: int) -> Tensor:
    """Return `count` samples of noise: in [0, 1] for images, else in the box of the data."""
    noise = torch.rand((count, *train.shape), generator=generator_for("uniform noise"))
    if train.pixel_range is not None:
        return noise
    points = train.model_space()
    low, high = points.amin(dim=0), points.amax(dim=0)
    return low + (high - low) * noise


def extract(model: Extractor, samples: Tensor, what: str, device: torch.device = CPU) -> Features:
    """Return the features of `samples`, computed on `device` in batches.

    Shows the progress under the title `what`.
    """
    parts = []
    model.to(device)
    with torch.no_grad(), progress(what, len(samples)) as advance:
        for batch in torch.split(samples, model.batch_size):
            found = model(batch.to(device))
            probabilities = None if found.probabilities is None else found.probabilities.cpu()
            parts.append(Features(found.values.cpu(), probabilities))
            advance(len(batch))
    return Features.join(parts)


def make_extractor(name: str, split: Split, dataset_id: str) -> Extractor:
    """Return an extractor with its published weights, or one that has learned nothing yet."""
    kind: type[Extractor] = pkgutil.resolve_name(EXTRACTORS[name])
    lacks = None
    if kind.needs_images and split.pixel_range is None:
        lacks = "images, and this dataset has points"
    elif kind.needs_labels and split.labels is None:
        lacks = "labels, and this dataset has none"
    if lacks:
        raise InputError(
            f"evaluate.extractors: {name} on dataset {dataset_id}: the extractor needs {lacks}. "
            f"Choose another one: evaluate.extractors: [pixels]"
        )
    names, labels = split.class_names, split.labels
    classes = len(names) if names else 0 if labels is None else int(labels.max()) + 1
    try:
        model = kind(split.shape, classes)
    except ValueError as error:
        raise InputError(
            f"evaluate.extractors: {name} on dataset {dataset_id}: {error}. Choose another one: "
            f"evaluate.extractors: [pixels]"
        ) from error
    if model.weights is not None:
        load_published_weights(model)
    model.eval()
    return model


def load_extractor(plan: Plan, run: Run, name: str, train: Split) -> Extractor:
    """Return the extractor as `reference` fitted it."""
    model = make_extractor(name, train, run.dataset.id)
    path = plan.layout.extractor_weights(run.dataset.id, name)
    if model.weights is None and model.state_dict():
        try:
            model.load_state_dict(load_file(path))
        except (FileNotFoundError, SafetensorError, RuntimeError) as error:
            raise _make_reference_again(path, error) from error
    return model


def read_reference(plan: Plan, run: Run, extractor: str) -> dict[str, Features]:
    """Return the features of the splits `train` and `test`, and of uniform noise as `noise`."""
    path = plan.reference(run.dataset.id, extractor)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
        tensors = {str(name): torch.from_numpy(array.values) for name, array in content.items()}
        moments = tensors["train_mean"], tensors["train_covariance_factor"]
        return {
            part: Features(
                tensors[f"{part}_features"],
                tensors.get(f"{part}_probabilities"),
                moments if part == "train" else None,
            )
            for part in ("train", "test", "noise")
        }
    except (OSError, KeyError) as error:
        raise _make_reference_again(path, error) from error


def _make_reference_again(path: object, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot be read ({error}). `scoresweep reference STUDY` makes it (again)."
    )
