"""Rule `reference`: the features of real samples, with which generated ones are compared."""

from __future__ import annotations

import contextlib
import json
import pkgutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.console import progress
from scoresweep.data.store import Split, read_split
from scoresweep.errors import InputError
from scoresweep.files import whole
from scoresweep.locks import exclusive
from scoresweep.made_by import made_by
from scoresweep.made_from import as_attribute
from scoresweep.metrics.extractors.base import Extractor
from scoresweep.metrics.features import Features
from scoresweep.pipeline.device import CPU, device_of
from scoresweep.pipeline.measures import choose, cost_of, write_dataset
from scoresweep.pipeline.published_weights import load_published_weights
from scoresweep.pipeline.results import data_of
from scoresweep.seeds import generator_for
from scoresweep.study import Plan, Run
from scoresweep.study.base import content_hash
from scoresweep.study.components.metrics import EXTRACTORS
from scoresweep.tensors import sha256_of_tensors, write_tensors

__all__ = [
    "attribute_of",
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
    share it, and all share the extractor's own weights: they depend on the dataset alone, and are
    fitted where no file holds those of this dataset and of the extractor's recipe. Its attributes
    tell which weights were used.

    Raises:
        InputError: if the dataset does not have what the extractor needs, the extractor's
            published weights cannot be had, or there is no GPU for it.
    """
    started, device, code = time.monotonic(), device_of(gpus), made_by("features")
    dataset, layout, count = plan.dataset(dataset_id), plan.layout, plan.study.evaluate.real_count
    store = layout.dataset_store(dataset.id)
    train, test = read_split(store, "train"), read_split(store, "test")
    model = make_extractor(extractor, train, dataset.id)
    weights = _give_weights(model, train, layout.extractor_weights(dataset.id, extractor))
    content = xr.Dataset(
        attrs={"dataset": dataset.id, "extractor": extractor, "resize": model.resize}
        | weights
        | as_attribute({"data": data_of(layout, dataset.id).sha256})
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
    content.attrs |= cost_of(started, device) | code.attribute()
    write_dataset(content, plan.reference(dataset.id, extractor))


def _some(split: Split, count: int | None, name: str) -> Split:
    """Return `count` of the samples, drawn at random; None: all."""
    if count is None:
        return split
    index = choose(len(split.values), count, "real", name).numpy()
    labels = None if split.labels is None else split.labels[index]
    return replace(split, values=split.values[index], labels=labels)


# ── Weights ─────────────────────────────────────────────────────────────────────────────────────


def _give_weights(model: Extractor, train: Split, path: Path) -> dict[str, str]:
    """Give an extractor its weights, published or fitted; return attributes that tell which.

    Fitted ones are read from `path` where it holds those of this dataset, made by this recipe. Of
    several processes at once the first one fits them.
    """
    if model.weights is not None:
        return load_published_weights(model)
    if not model.state_dict():
        return {}
    data = _sha256_of_data(train)
    with exclusive(path.with_name(f".{path.name}.lock")):
        with contextlib.suppress(FileNotFoundError, SafetensorError, RuntimeError, ValueError):
            if _load_fitted(model, path) == data:
                return _attributes_of(model)
        labels = None if train.labels is None else torch.from_numpy(train.labels)
        with _one_thread():
            model.fit(train.model_space(), labels, seed=0)
        attributes = _attributes_of(model)
        about = {
            "data": data,
            "recipe": content_hash(model.recipe()),
            "sha256": attributes["weights_sha256"],
        }
        with whole(path) as temporary:
            write_tensors(temporary, model.state_dict(), {"fitted": json.dumps(about)})
    return attributes


def _load_fitted(model: Extractor, path: Path) -> str:
    """Load what an extractor has learned; return the SHA-256 of the data that it learned from.

    Raises `ValueError` where that is damaged, or was learned by another recipe.
    """
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("fitted", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if sha256_of_tensors(tensors) != about.get("sha256"):
        raise ValueError("its SHA-256 is not the one that it names")
    if about.get("recipe") != content_hash(model.recipe()):
        raise ValueError(f"it was learned by another recipe than that of {model.name} now")
    model.load_state_dict(tensors)
    return str(about["data"])


def _sha256_of_data(split: Split) -> str:
    parts = {"values": split.values, "labels": split.labels, "range": split.pixel_range}
    return sha256_of_tensors({k: torch.as_tensor(v) for k, v in parts.items() if v is not None})


def _attributes_of(model: Extractor) -> dict[str, str]:
    return {"weights_sha256": sha256_of_tensors(model.state_dict())}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: the order in which floats are added changes what is learned."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# ── Features ────────────────────────────────────────────────────────────────────────────────────


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
    """Return an extractor without its weights, published or learned."""
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
    return model.eval()


def load_extractor(plan: Plan, run: Run, name: str, train: Split) -> Extractor:
    """Return the extractor with the weights that made the features of the real samples.

    Raises:
        InputError: if it has others, or a file is missing or damaged.
    """
    model = make_extractor(name, train, run.dataset.id)
    path, made = (
        plan.layout.extractor_weights(run.dataset.id, name),
        plan.reference(run.dataset.id, name),
    )
    if model.weights is not None:
        load_published_weights(model)
    elif model.state_dict():
        try:
            _load_fitted(model, path)
        except (FileNotFoundError, SafetensorError, RuntimeError, ValueError) as error:
            raise _make_reference_again(path, error) from error
    else:
        return model
    found, expected = _attributes_of(model)["weights_sha256"], attribute_of(made, "weights_sha256")
    if found != expected:
        raise InputError(
            f"{made}: its features are not those of the extractor {name} as it is now (SHA-256 of "
            f"the weights {expected}, now {found}). `scoresweep reference STUDY` makes it again."
        )
    return model


def read_reference(plan: Plan, run: Run, extractor: str) -> dict[str, Features]:
    """Return the features of the splits `train` and `test`, and of uniform noise as `noise`.

    Raises:
        InputError: if the file is missing or damaged, or is one of other data or features.
    """
    path = plan.reference(run.dataset.id, extractor)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
        for name, expected in (("dataset", run.dataset.id), ("extractor", extractor)):
            if content.attrs.get(name) != expected:
                raise ValueError(f"its {name} is {content.attrs.get(name)}, expected {expected}")
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
    except (OSError, KeyError, ValueError) as error:
        raise _make_reference_again(path, error) from error


def attribute_of(path: Path, name: str) -> object:
    """Return an attribute of a file of features; None if it has none."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            return file.attrs.get(name)
    except OSError as error:
        raise _make_reference_again(path, error) from error


def _make_reference_again(path: object, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot be used ({error}). `scoresweep reference STUDY` makes it (again)."
    )
