"""Rule `reference`: the features of real samples, with which generated ones are compared."""

from __future__ import annotations

import pkgutil

import torch
import xarray as xr
from safetensors import SafetensorError
from safetensors.torch import load_file

from scoresweep.data.store import Split, read_split
from scoresweep.errors import InputError
from scoresweep.files import whole
from scoresweep.metrics.extractors.base import Extractor
from scoresweep.metrics.features import Features
from scoresweep.pipeline.measures import write_dataset
from scoresweep.study import Plan, Run
from scoresweep.study.components.metrics import EXTRACTORS
from scoresweep.tensors import write_tensors

__all__ = ["load_extractor", "make_extractor", "read_reference", "reference"]


def reference(plan: Plan, dataset_id: str, extractor: str) -> None:
    """Write the features of a dataset's real samples, after fitting the extractor to it.

    All studies share the file and the extractor's weights: both depend on the dataset alone.

    Raises:
        InputError: if the dataset does not have what the extractor needs.
    """
    dataset, layout = plan.dataset(dataset_id), plan.layout
    store = layout.dataset_store(dataset.id)
    train, test = read_split(store, "train"), read_split(store, "test")
    model = make_extractor(extractor, train, dataset.id)
    labels = None if train.labels is None else torch.from_numpy(train.labels)
    samples = train.model_space()
    model.fit(samples, labels, seed=0)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if weights:
        with whole(layout.extractor_weights(dataset.id, extractor)) as temporary:
            write_tensors(temporary, weights)
    content = xr.Dataset(attrs={"dataset": dataset.id, "extractor": extractor})
    with torch.no_grad():
        features = {"train": model(samples), "test": model(test.model_space())}
    for split, found in features.items():
        sample = f"{split}_sample"
        content[f"{split}_features"] = ((sample, "feature"), found.values.numpy())
        if found.probabilities is not None:
            content[f"{split}_probabilities"] = ((sample, "class"), found.probabilities.numpy())
    probabilities = features["test"].probabilities
    if probabilities is not None and test.labels is not None:
        right = probabilities.argmax(dim=1) == torch.from_numpy(test.labels)
        content.attrs["test_accuracy"] = float(right.double().mean())
    write_dataset(content, layout.reference(dataset.id, extractor))


def make_extractor(name: str, split: Split, dataset_id: str) -> Extractor:
    """Return an extractor that has learned nothing yet."""
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
    model = kind(split.shape, classes)
    model.eval()
    return model


def load_extractor(plan: Plan, run: Run, name: str, train: Split) -> Extractor:
    """Return the extractor as `reference` fitted it."""
    model = make_extractor(name, train, run.dataset.id)
    path = plan.layout.extractor_weights(run.dataset.id, name)
    if model.state_dict():
        try:
            model.load_state_dict(load_file(path))
        except (FileNotFoundError, SafetensorError, RuntimeError) as error:
            raise _make_reference_again(path, error) from error
    return model


def read_reference(plan: Plan, run: Run, extractor: str) -> dict[str, Features]:
    """Return the features of the splits `train` and `test`."""
    path = plan.layout.reference(run.dataset.id, extractor)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
    except (FileNotFoundError, OSError) as error:
        raise _make_reference_again(path, error) from error
    tensors = {str(name): torch.from_numpy(array.values) for name, array in content.items()}
    return {
        split: Features(tensors[f"{split}_features"], tensors.get(f"{split}_probabilities"))
        for split in ("train", "test")
    }


def _make_reference_again(path: object, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot be read ({error}). `scoresweep reference STUDY` makes it (again)."
    )
