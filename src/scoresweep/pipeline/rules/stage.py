"""The rule `stage`: fetch a dataset, check it, write it as a sharded Zarr store."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scoresweep import __version__
from scoresweep.pipeline.data.array_files.variables import capped
from scoresweep.pipeline.data.manifest import check_store, manifest_path
from scoresweep.pipeline.data.source_state import fingerprint, is_same, remember
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.splitting import LoadedDataset, of_every_class
from scoresweep.pipeline.data.store import read_split, write_store
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.code_version import MADE_BY, current_code, describe_other_code
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Dataset, ImageFolder, UserData
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.locks import file_lock

__all__ = ["read_dataset", "stage"]


def stage(plan: Plan, dataset_id: str, *, this_code: bool = False) -> None:
    """Stage one dataset of the study; one that is whole and not outdated is left alone.

    Of several processes at once the first one stages it. Raises `InputError` where the data cannot
    be had or is wrong, `RunError` where the disk is full; neither leaves a store behind.
    """
    dataset, store = plan.dataset(dataset_id), plan.paths.dataset_store(dataset_id)
    with file_lock(plan.paths.staging_lock(dataset_id)):
        if manifest_path(store).exists():
            problem = _outdated(plan, dataset, store)
            if this_code and not problem:
                problem = describe_other_code(manifest_path(store), "data")
                problem = problem and f"{store}: {problem}."
            if not problem:
                say(f"{store} is staged already")
                return
            say(f"{problem} Staging it again.")
        _stage(plan, dataset, store)


def _stage(plan: Plan, dataset: Dataset, store: Path) -> None:
    """Fetch, check and write a dataset, and say so."""
    started, code, own = time.monotonic(), current_code("data"), _own(dataset)
    state = fingerprint(own) if own else ""  # before it is read, so that a later change shows
    staged = read_dataset(dataset)
    splits = {"train": staged.train, "test": staged.test}
    total = sum(len(split.values) for split in splits.values())
    with progress(f"stage {dataset.id}", total) as advance:
        origin = {MADE_BY: code.record()}
        write_store(store, splits, _attributes(dataset, staged), advance, origin)
    if own:
        remember(plan.paths.dataset_state(dataset.id), state, staged.files)
    seconds = time.monotonic() - started
    say(
        f"staged {store}: {len(staged.train.values):,} + {len(staged.test.values):,} samples of "
        f"{_size(staged.train)}{_classes(staged.train)}, from {staged.source}, "
        f"in {seconds:.1f} s"
    )


def _own(dataset: Dataset) -> Path | None:
    """Return the user's own file or folder, if the dataset is one that exists."""
    return dataset.path if isinstance(dataset, UserData) and dataset.path.exists() else None


def _outdated(plan: Plan, dataset: Dataset, store: Path) -> str:
    """Say why a store is not what staging would make of the dataset, or return "".

    Own data that is not there any more cannot have changed.
    """
    try:
        manifest = check_store(store)
        for split in manifest["splits"]:
            read_split(store, split)
    except InputError as problem:
        return str(problem)
    own, known = _own(dataset), manifest["attributes"]["sha256"]
    if own is None or is_same(own, known, plan.paths.dataset_state(dataset.id)):
        return ""
    return f"{own} has changed since {store} was made of it."


def read_dataset(dataset: Dataset) -> LoadedDataset:
    """Fetch and read a dataset with its own reader, cut to its `subset`.

    A subset of a user's own data takes its share of every class; of published data, the first.
    """
    options = dataset.arguments()
    subset = options.pop("subset")
    options.pop("title", None)
    staged: LoadedDataset = dataset.load()(**options)
    _check_parts(dataset, staged)
    _check_classes(dataset, staged)
    if subset is None:
        return staged
    if not isinstance(dataset, UserData):
        return replace(staged, train=staged.train.first(subset), test=staged.test.first(subset))
    return replace(
        staged, train=of_every_class(staged.train, subset), test=of_every_class(staged.test, subset)
    )


def _check_parts(dataset: Dataset, staged: LoadedDataset) -> None:
    """Raise `InputError` if a part has fewer than two samples, and so no variance."""
    train, test = len(staged.train.values), len(staged.test.values)
    if isinstance(dataset, UserData) and min(train, test) < 2:
        count = train + test
        fix = "at least four samples are needed"
        if count >= 4:
            low, high = max(2 / count, 0.001), (count - 2) / count
            fix = f"set it from {low:.3g} to {high:.3g}" if low < high else "set it to 0.5"
        raise InputError(
            f"dataset.test_fraction: {dataset.test_fraction:g} of the {count:,} samples of "
            f"{dataset.path} leaves {train:,} to train on and {test:,} to test on; each part needs "
            f"two: {fix}."
        )


def _check_classes(dataset: Dataset, staged: LoadedDataset) -> None:
    """Raise `InputError` if train and test share no class: one of them is misunderstood."""
    train, test = staged.train, staged.test
    if train.labels is None or test.labels is None or not isinstance(dataset, UserData):
        return
    in_train, in_test = np.unique(train.labels), np.unique(test.labels)
    if not np.isin(in_test, in_train).any():
        fix = "To read no labels: dataset.keys: {image: NAME}"
        if isinstance(dataset, ImageFolder):
            fix = "To set a share of the training part aside instead: dataset.splits: {train: NAME}"
        raise InputError(
            f"{dataset.path}: the test part has other classes ({_named(test, in_test)}) than the "
            f"training part ({_named(train, in_train)}). {fix}"
        )


def _named(split: Split, classes: npt.NDArray[np.int64]) -> str:
    """Return the names of some classes; of many, the first ones."""
    names = split.class_names
    return capped([index if names is None else names[index] for index in classes.tolist()])


def _attributes(dataset: Dataset, staged: LoadedDataset) -> dict[str, object]:
    """Return the attributes of the store's root."""
    attributes: dict[str, object] = {
        "dataset": dataset.model_dump(mode="json"),
        "source": staged.source,
        "licence": staged.licence,
        "sha256": staged.files,
        "version": __version__,
        **staged.attributes,
    }
    if staged.train.pixel_range is not None:
        attributes["pixel_range"] = list(staged.train.pixel_range)
    if staged.train.class_names is not None:
        attributes["class_names"] = staged.train.class_names
    return attributes


def _size(split: Split) -> str:
    if split.pixel_range is None:
        return f"{split.shape[0]} features"
    channels, height, width = split.shape
    return f"{width}×{height} pixels, {channels} channel{'s' if channels > 1 else ''}"


def _classes(split: Split) -> str:
    """Name the classes: folders taken for classes by mistake show."""
    if split.labels is None:
        return ""
    classes = np.unique(split.labels)
    return f", {len(classes)} class{'es' if len(classes) > 1 else ''} ({_named(split, classes)})"
