"""Feature extractors with their weights, published or fitted to a dataset."""

from __future__ import annotations

import contextlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation.extractor_weights import load_published_weights
from scoresweep.pipeline.evaluation.plugin_extractor import PluginExtractor, make_plugin_extractor
from scoresweep.pipeline.evaluation.real_features import read_attribute, unusable_reference
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.methods.metrics import ExtractorFacts
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredExtractor
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors

__all__ = ["extractor_class", "load_extractor", "load_or_fit_weights", "make_extractor"]


def load_or_fit_weights(model: Extractor, train: Split, path: Path) -> dict[str, str]:
    """Load an extractor's published weights, or fit it to `train`; return attributes for records.

    Fitted weights are cached in `path` and reused for the same data and recipe. A lock makes sure
    that only one process fits them.
    """
    if model.weights is not None:
        return load_published_weights(model)
    if not model.is_trained_here:
        return _attributes_of(model) if model.state_dict() else {}
    data = _sha256_of_data(train)
    with file_lock(path.with_name(f".{path.name}.lock")):
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
        with atomic_write(path) as temporary:
            save_safetensors(temporary, model.state_dict(), {"fitted": json.dumps(about)})
    return attributes


def _load_fitted(model: Extractor, path: Path) -> str:
    """Load fitted weights; return the SHA-256 of the data that they were fitted to.

    Raises:
        ValueError: if they are damaged, or were fitted by another recipe.
    """
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("fitted", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if sha256_of_tensors(tensors) != about.get("sha256"):
        raise ValueError("its SHA-256 differs from the recorded one")
    if about.get("recipe") != content_hash(model.recipe()):
        raise ValueError(f"it was fitted by another recipe than the current one of {model.name}")
    model.load_state_dict(tensors)
    return str(about["data"])


def _sha256_of_data(split: Split) -> str:
    parts = {"values": split.values, "labels": split.labels, "range": split.pixel_range}
    return sha256_of_tensors({k: torch.as_tensor(v) for k, v in parts.items() if v is not None})


def _attributes_of(model: Extractor) -> dict[str, str]:
    return {"weights_sha256": sha256_of_tensors(model.state_dict())}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, so that fitted weights do not depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def extractor_class(extractor: ExtractorFacts) -> type[Extractor]:
    """Return the class of an extractor."""
    if extractor.method is not None:
        return PluginExtractor
    kind: type[Extractor] = pkgutil.resolve_name(extractor.target)
    return kind


def make_extractor(extractor: ExtractorFacts, split: Split, dataset_id: str) -> Extractor:
    """Return an extractor without its published or fitted weights.

    Raises `InputError` if it does not take samples of `split`, or is a plugin's and fails.
    """
    names, labels = split.class_names, split.labels
    classes = len(names) if names else 0 if labels is None else int(labels.max()) + 1
    try:
        if extractor.needs_images and split.pixel_range is None:
            raise ValueError("the extractor needs images, but this dataset has points")
        if isinstance(extractor.method, DeclaredExtractor):
            return make_plugin_extractor(extractor.method, split)
        kind = extractor_class(extractor)
        if kind.needs_labels and labels is None:
            raise ValueError("the extractor needs labels, but this dataset has none")
        return kind(split.shape, classes).eval()
    except ValueError as error:
        raise InputError(
            f"evaluate.extractors: {extractor.name} on dataset {dataset_id}: {error}. Choose "
            f"another one, for example evaluate.extractors: [pixels]"
        ) from error


def load_extractor(plan: Plan, dataset: str, key: str, train: Split) -> Extractor:
    """Return the extractor `key` with the weights that computed the features of the real samples.

    Raises:
        InputError: if its weights have changed since, or a file is missing or damaged.
    """
    model = make_extractor(plan.extractors[key], train, dataset)
    path = plan.paths.extractor_weights(dataset, key)
    if model.weights is not None:
        load_published_weights(model)
    elif model.is_trained_here:
        try:
            _load_fitted(model, path)
        except (FileNotFoundError, SafetensorError, RuntimeError, ValueError) as error:
            raise unusable_reference(path, error) from error
    elif not model.state_dict():
        return model
    reference = plan.reference(dataset, key)
    current = _attributes_of(model)["weights_sha256"]
    recorded = read_attribute(reference, "weights_sha256")
    if current != recorded:
        raise InputError(
            f"{reference}: its features were computed with other weights of the extractor "
            f"{model.name} (SHA-256 {recorded}, now {current}). To compute them again, run "
            f"`scoresweep reference STUDY`."
        )
    return model
