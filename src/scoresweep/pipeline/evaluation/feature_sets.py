"""The features that metrics of sample quality compare."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics.features import Features
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.sources.shapes import class_shares
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.study.methods.datasets import GaussianMixtureData, Shapes

__all__ = [
    "NO_EXTRACTOR",
    "DatasetFacts",
    "FeatureSets",
    "dataset_facts",
    "extract_feature_sets",
]

NO_EXTRACTOR = ""
"""Name used instead of an extractor's for the samples themselves."""


@dataclass(frozen=True)
class FeatureSets:
    """Features of the samples to compare, all from one extractor."""

    train: Features
    """Real training samples, with which all others are compared."""
    generated: Features
    test: Features
    """Real test samples, at most as many as generated ones."""
    noise: Features
    """Uniform noise, at most as many samples as generated ones."""
    resize: str


@dataclass(frozen=True)
class DatasetFacts:
    """What is known about a dataset beyond its samples."""

    class_names: list[str] | None = None
    mixture: GaussianMixture | None = None
    """Distribution of the data, if it is a mixture."""
    shares: Tensor | None = None
    """Requested share of each class (K,), if the data are shapes."""


def dataset_facts(real: RealData) -> DatasetFacts:
    """Return what is known about a dataset."""
    mixture = shares = None
    if isinstance(real.dataset, GaussianMixtureData):
        mixture = load_exact_score(real.plan.paths.dataset_store(real.dataset.id))
    if isinstance(real.dataset, Shapes):
        requested = (real.dataset.shares or {}).items()
        shares = torch.from_numpy(class_shares({str(name): share for name, share in requested}))
    return DatasetFacts(real.train.class_names, mixture, shares)


def extract_feature_sets(real: RealData, extractor: str, samples: Tensor) -> FeatureSets:
    """Return the features of generated samples, and of the real ones to compare them with.

    For `NO_EXTRACTOR`, the samples themselves are the features.
    """
    count = len(samples)
    if extractor == NO_EXTRACTOR:
        train, test, noise = (
            real.samples_as_features(part, count) for part in ("train", "test", "noise")
        )
        return FeatureSets(train, Features(samples.flatten(1)), test, noise, resize="none")
    train = real.features(extractor)["train"]
    test, noise = (real.some_features(extractor, part, count) for part in ("test", "noise"))
    model = real.extractor(extractor)
    title = f"{extractor} of generated samples"
    generated = extract_features(model, samples, title, real.device)
    return FeatureSets(train, generated, test, noise, model.resize)
