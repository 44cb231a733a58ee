"""Data to time the jobs of a study on: that of the study if it is at hand, else random numbers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresweep.pipeline.commands.estimate.levels import sample_shape
from scoresweep.pipeline.data.dataset_store import write_store
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.dataset_size import dataset_size, training_count
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.published_datasets import Digits
from scoresweep.pipeline.study.methods.synthetic_datasets import SyntheticData

__all__ = ["ProbeData", "data_counts", "prepare_data"]

MAX_BYTES = 2**25
"""Bytes of the samples that are staged or made up, as float32."""

CLASSES = 10
"""Number of classes of random images."""

SHARE_OF_TRAINING = 5 / 6
"""Share of the samples of a dataset that are training samples, if it is not staged yet."""


@dataclass(frozen=True)
class ProbeData:
    """A dataset in a folder for the probe."""

    share: float
    """Training samples of the study for each one there."""
    is_real: bool
    """Whether it is the study's own data."""
    seconds: float | None = None
    """Seconds that staging took, if it was staged for the probe."""


def data_counts(plan: Plan, dataset: Dataset) -> tuple[int, int]:
    """Return the numbers of training and of other samples, approximate before staging."""
    size = dataset_size(plan.paths, dataset)
    assert size is not None
    _, total = size
    train = training_count(plan.paths, dataset)
    if train is None or train >= total:
        train = round(SHARE_OF_TRAINING * total)
    if dataset.subset is not None and not plan.paths.dataset_manifest(dataset.id).exists():
        return min(train, dataset.subset), min(total - train, dataset.subset)
    return train, total - train


def prepare_data(plan: Plan, dataset: Dataset, there: Plan) -> ProbeData | None:
    """Make a dataset of the study readable `there`; None if its shape is unknown.

    `there` is the same plan in an empty folder. Staged data are linked, and data that this machine
    can make are staged, if they are few; otherwise random samples of the same shape are written.
    """
    shape = sample_shape(plan, dataset)
    if shape is None:
        return None
    train, test = data_counts(plan, dataset)
    is_small = (train + test) * 4 * math.prod(shape) <= MAX_BYTES
    store, manifest = plan.paths.dataset_store(dataset.id), plan.paths.dataset_manifest(dataset.id)
    if is_small and manifest.exists():
        for path, link in (
            (store, there.paths.dataset_store(dataset.id)),
            (manifest, there.paths.dataset_manifest(dataset.id)),
        ):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        return ProbeData(1.0, is_real=True)
    if is_small and isinstance(dataset, SyntheticData | Digits):
        started = time.process_time()
        stage(there, dataset.id)
        return ProbeData(1.0, True, time.process_time() - started)
    count = max(_largest_batch(plan), min(train, MAX_BYTES // (4 * math.prod(shape))))
    _write_random(there.paths.dataset_store(dataset.id), shape, count)
    return ProbeData(train / count, is_real=False)


def _largest_batch(plan: Plan) -> int:
    return max(run.train.batch_size for run in plan.runs)


def _write_random(store: Path, shape: tuple[int, ...], count: int) -> None:
    generator = np.random.default_rng(0)

    def split(size: int) -> Split:
        if len(shape) != 3:
            return Split(generator.normal(size=(size, *shape)).astype(np.float32))
        channels, height, width = shape
        values = generator.integers(0, 256, (size, height, width, channels), dtype=np.uint8)
        return Split(values, np.arange(size) % CLASSES, (0, 255))

    splits = {"train": split(count), "test": split(max(2, count // 5))}
    write_store(store, splits, {"source": "random", "licence": "CC0", "sha256": {}})
