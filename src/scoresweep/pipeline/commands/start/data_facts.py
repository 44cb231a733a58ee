"""Facts about staged data from which the numbers of a new study follow."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import zarr

from scoresweep.pipeline.commands.start.ladder_numbers import measured_sigma_max
from scoresweep.pipeline.data.dataset_store import read_zarr_array
from scoresweep.pipeline.data.shard_loader import random_samples
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Dataset

__all__ = ["DataFacts", "describe_data"]

MOMENT_COUNT = 10_000
"""Random training samples whose mean and standard deviation are taken."""


@dataclass(frozen=True)
class DataFacts:
    """A staged dataset, in model space: images have pixels in [0, 1]."""

    dataset: Dataset
    shape: tuple[int, ...]
    """(C, H, W) or (D,)."""
    train_count: int
    test_count: int
    num_classes: int
    """Number of classes in the training set; 0 without labels."""
    mean: float
    """Mean of all values of the training samples, as are the next two: of up to `MOMENT_COUNT`."""
    std: float
    """Standard deviation of all values of the training samples."""
    distance_of_mean: float
    """Distance of the mean of the training samples from the origin."""
    sigma_max: float
    """Largest distance of two training samples."""

    @property
    def is_image(self) -> bool:
        """Whether the samples are images, not points."""
        return len(self.shape) == 3

    @property
    def dimension(self) -> int:
        """Number of values of a sample."""
        return prod(self.shape)


def describe_data(plan: Plan, dataset: Dataset) -> DataFacts:
    """Return the facts; raise `InputError` if the store is damaged or its samples are all equal."""
    store = plan.paths.dataset_store(dataset.id)
    splits, samples = check_store(store)["splits"], random_samples(store, "train", MOMENT_COUNT)
    name = "image" if "image" in splits["train"] else "point"
    labels = np.array([])
    if "label" in splits["train"]:
        group = zarr.open_group(store, path="train", mode="r")
        labels = read_zarr_array(group, "label", store)
    return DataFacts(
        dataset=dataset,
        shape=tuple(samples.shape[1:]),
        train_count=splits["train"][name]["shape"][0],
        test_count=splits["test"][name]["shape"][0],
        num_classes=len(np.unique(labels)),
        mean=float(samples.mean()),
        std=float(samples.std()),
        distance_of_mean=float(samples.mean(0).norm()),
        sigma_max=measured_sigma_max(plan, dataset),
    )
