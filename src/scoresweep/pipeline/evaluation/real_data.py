"""Real samples of a dataset, their features and the extractors, loaded once for all settings."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.evaluation.extractor_loading import extractor_class, load_extractor
from scoresweep.pipeline.evaluation.real_features import (
    read_attribute,
    read_reference,
    uniform_noise,
)
from scoresweep.pipeline.evaluation.subsets import random_subset
from scoresweep.pipeline.results.code_version import MADE_BY
from scoresweep.pipeline.results.input_hashes import MADE_FROM
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.device import select_device

__all__ = ["RealData"]

T = TypeVar("T")


class RealData:
    """What the samples of every setting of a dataset are compared with, loaded when first used.

    Extractors are given by their keys.
    """

    def __init__(self, plan: Plan, dataset: str, gpus: int = 0) -> None:
        """Use the dataset with the id `dataset`; extractors run on a GPU unless `gpus` is 0."""
        self.plan, self.gpus = plan, gpus
        self.dataset = plan.dataset(dataset)
        self._loaded: dict[Hashable, Any] = {}

    @cached_property
    def device(self) -> torch.device:
        """Where extractors run; raise `InputError` if there is no GPU."""
        return select_device(self.gpus)

    @cached_property
    def train(self) -> Split:
        """All training samples."""
        return read_split(self.plan.paths.dataset_store(self.dataset.id), "train")

    def features(self, extractor: str) -> dict[str, Features]:
        """Return the features of "train" and "test" samples and of uniform "noise".

        Raises:
            InputError: if their file cannot be used.
        """
        return self._once(
            ("features", extractor), lambda: read_reference(self.plan, self.dataset.id, extractor)
        )

    def some_features(self, extractor: str, part: str, count: int) -> Features:
        """Return the features of `count` random samples of "test" or "noise", or of all."""
        features = self.features(extractor)[part]
        return self._once(
            ("some features", extractor, part, count),
            lambda: features[random_subset(len(features), count, part)],
        )

    def samples_as_features(self, part: str, count: int) -> Features:
        """Return all "train" samples, or `count` of "test" or "noise", as features (N, D)."""
        return self._once(
            ("samples", part, count), lambda: Features(self._samples(part, count).flatten(1))
        )

    def _samples(self, part: str, count: int) -> Tensor:
        if part == "train":
            return self.train.model_space()
        if part == "noise":
            return uniform_noise(self.train, count)
        test = read_split(self.plan.paths.dataset_store(self.dataset.id), part).model_space()
        return test[random_subset(len(test), count, part)]

    def extractor(self, key: str) -> Extractor:
        """Return an extractor with the weights that computed the features of the real samples.

        Raises:
            InputError: if its weights have changed since, or a file is missing or damaged.
        """
        return self._once(
            ("extractor", key),
            lambda: load_extractor(self.plan, self.dataset.id, key, self.train),
        )

    def resize(self, extractor: str) -> str:
        """Return how an extractor resizes images."""
        return extractor_class(self.plan.extractors[extractor]).resize

    def identity(self, extractor: str) -> dict[str, str]:
        """Return what identifies the features of the real samples: file, weights, data and code."""
        path = self.plan.reference(self.dataset.id, extractor)
        names = ("weights_sha256", MADE_FROM, MADE_BY)
        return self._once(
            ("identity", extractor),
            lambda: {"file": path.name} | {n: str(read_attribute(path, n)) for n in names},
        )

    def _once(self, key: Hashable, compute: Callable[[], T]) -> T:
        if key not in self._loaded:
            self._loaded[key] = compute()
        value: T = self._loaded[key]
        return value
