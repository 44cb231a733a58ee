"""The rule `stage`: fetch a dataset, check it, and write it to a sharded Zarr store."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scoresweep import __version__
from scoresweep.pipeline.data.dataset_store import read_split, write_store
from scoresweep.pipeline.data.file_changes import cache_comparison, fingerprint, is_unchanged
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.plugin_dataset import load_plugin_dataset
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.store_manifest import check_store, manifest_path
from scoresweep.pipeline.data.stratify import stratified_subset
from scoresweep.pipeline.errors import InputError, join_names
from scoresweep.pipeline.results.code_version import (
    MADE_BY,
    current_code,
    describe_other_code,
    recorded_code,
)
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Dataset, ImageFolder, UserData
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredDataset
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.locks import file_lock

__all__ = ["load_dataset", "stage"]


def stage(plan: Plan, dataset_id: str, *, this_code: bool = False) -> None:
    """Stage one dataset of the study, unless its store is complete and up to date.

    With `this_code`, a store made by other code is outdated. Of several concurrent processes, the
    first one stages the dataset. Raises `InputError` if the data is unavailable or invalid, and
    `RunError` if the disk is full; neither leaves an incomplete store.
    """
    dataset, store = plan.dataset(dataset_id), plan.paths.dataset_store(dataset_id)
    with file_lock(plan.paths.staging_lock(dataset_id)):
        if manifest_path(store).exists():
            problem = _outdated_reason(plan, dataset, store)
            if this_code and not problem:
                problem = describe_other_code(recorded_code(manifest_path(store)), "data")
                problem = problem and f"{store}: {problem}."
            if not problem:
                say(f"{store} is already staged")
                return
            say(f"{problem} Staging again.")
        _stage(plan, dataset, store)


def _stage(plan: Plan, dataset: Dataset, store: Path) -> None:
    """Fetch, check and write a dataset."""
    started, code, path = time.monotonic(), current_code("data"), _user_path(dataset)
    state = fingerprint(path) if path else ""  # before reading, to detect later changes
    loaded = load_dataset(dataset)
    splits = {"train": loaded.train, "test": loaded.test}
    total = sum(len(split.values) for split in splits.values())
    with progress(f"stage {dataset.id}", total) as advance:
        provenance = {MADE_BY: code.record()}
        write_store(store, splits, _attributes(dataset, loaded), advance, provenance)
    if path:
        cache_comparison(plan.paths.dataset_state(dataset.id), state, loaded.files)
    seconds = time.monotonic() - started
    say(
        f"staged {store}: {len(loaded.train.values):,} + {len(loaded.test.values):,} samples of "
        f"{_size(loaded.train)}{_classes(loaded.train)}, from {loaded.source}, in {seconds:.1f} s"
    )


def _user_path(dataset: Dataset) -> Path | None:
    """Return the path of user data, if it exists; None for other datasets."""
    return dataset.path if isinstance(dataset, UserData) and dataset.path.exists() else None


def _outdated_reason(plan: Plan, dataset: Dataset, store: Path) -> str:
    """Return why a store is damaged or outdated; "" if it is not.

    User data that no longer exists counts as unchanged.
    """
    try:
        manifest = check_store(store)
        for split in manifest["splits"]:
            read_split(store, split)
    except InputError as problem:
        return str(problem)
    path, recorded = _user_path(dataset), manifest["attributes"]["sha256"]
    if path is None or is_unchanged(path, recorded, plan.paths.dataset_state(dataset.id)):
        return ""
    return f"{path} has changed since {store} was staged."


def load_dataset(dataset: Dataset) -> LoadedDataset:
    """Load a dataset from its source, and apply its `subset`.

    A subset of user data keeps the share of each class; of other datasets, it is the first samples.
    """
    options = dataset.arguments()
    subset = options.pop("subset")
    options.pop("title", None)
    loaded: LoadedDataset
    if isinstance(dataset, DeclaredDataset):
        loaded = load_plugin_dataset(dataset, options)
    else:
        loaded = dataset.load()(**options)
    if isinstance(dataset, UserData):
        _check_sizes(dataset, loaded)
        _check_classes(dataset, loaded)
    if subset is None:
        return loaded
    take = stratified_subset if isinstance(dataset, UserData) else Split.first
    return replace(loaded, train=take(loaded.train, subset), test=take(loaded.test, subset))


def _check_sizes(dataset: UserData, loaded: LoadedDataset) -> None:
    """Raise `InputError` if a split has fewer than two samples, and so no variance."""
    train, test = len(loaded.train.values), len(loaded.test.values)
    if min(train, test) >= 2:
        return
    count = train + test
    fix = "Add samples: at least four are needed."
    if count >= 4:
        low, high = max(2 / count, 0.001), (count - 2) / count
        fix = f"Set it from {low:.3g} to {high:.3g}." if low < high else "Set it to 0.5."
    raise InputError(
        f"dataset.test_fraction: {dataset.test_fraction:g} splits the {count:,} samples of "
        f"{dataset.path} into {train:,} for training and {test:,} for testing; expected at least "
        f"two in each. {fix}"
    )


def _check_classes(dataset: UserData, loaded: LoadedDataset) -> None:
    """Raise `InputError` if train and test share no class: one of them is misunderstood."""
    train, test = loaded.train, loaded.test
    if train.labels is None or test.labels is None:
        return
    in_train, in_test = np.unique(train.labels), np.unique(test.labels)
    if not np.isin(in_test, in_train).any():
        fix = "To ignore the labels: dataset.keys: {image: NAME}"
        if isinstance(dataset, ImageFolder):
            fix = "To split the training images instead: dataset.splits: {train: NAME}"
        raise InputError(
            f"{dataset.path}: the classes of the test split ({_class_list(test, in_test)}) do not "
            f"occur in the training split ({_class_list(train, in_train)}). {fix}"
        )


def _class_list(split: Split, classes: npt.NDArray[np.int64]) -> str:
    """Return the names of some classes as text."""
    names = split.class_names
    return join_names(index if names is None else names[index] for index in classes.tolist())


def _attributes(dataset: Dataset, loaded: LoadedDataset) -> dict[str, object]:
    """Return the attributes of the store's root group."""
    attributes: dict[str, object] = {
        "dataset": dataset.model_dump(mode="json"),
        "source": loaded.source,
        "licence": loaded.licence,
        "sha256": loaded.files,
        "version": __version__,
        **loaded.attributes,
    }
    if loaded.train.pixel_range is not None:
        attributes["pixel_range"] = list(loaded.train.pixel_range)
    if loaded.train.class_names is not None:
        attributes["class_names"] = loaded.train.class_names
    return attributes


def _size(split: Split) -> str:
    if split.pixel_range is None:
        return f"{split.shape[0]} features"
    channels, height, width = split.shape
    return f"{width}×{height} pixels, {channels} channel{'s' if channels > 1 else ''}"


def _classes(split: Split) -> str:
    """Return the class names as text, which shows folders that are not meant to be classes."""
    if split.labels is None:
        return ""
    classes = np.unique(split.labels)
    plural = "es" if len(classes) > 1 else ""
    return f", {len(classes)} class{plural} ({_class_list(split, classes)})"
