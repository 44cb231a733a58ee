"""The features that metrics of sample quality compare."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics.features import Features
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.sources.shapes import class_shares
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.evaluation.extractor_loading import load_extractor
from scoresweep.pipeline.evaluation.real_features import (
    extract_features,
    read_reference,
    uniform_noise,
)
from scoresweep.pipeline.evaluation.subsets import random_subset
from scoresweep.pipeline.study import Plan, Run
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


def dataset_facts(plan: Plan, run: Run, train: Split) -> DatasetFacts:
    """Return what is known about the dataset of a run."""
    mixture = shares = None
    if isinstance(run.dataset, GaussianMixtureData):
        mixture = load_exact_score(plan.paths.dataset_store(run.dataset.id))
    if isinstance(run.dataset, Shapes):
        requested = (run.dataset.shares or {}).items()
        shares = torch.from_numpy(class_shares({str(name): share for name, share in requested}))
    return DatasetFacts(train.class_names, mixture, shares)


def extract_feature_sets(
    plan: Plan, run: Run, extractor: str, train: Split, samples: Tensor, device: torch.device
) -> FeatureSets:
    """Return the features of generated samples, and of the real ones to compare them with.

    For `NO_EXTRACTOR`, the samples themselves are the features.
    """
    if extractor == NO_EXTRACTOR:
        return _samples_as_features(plan, run, train, samples)
    real = read_reference(plan, run, extractor)
    model = load_extractor(plan, run, extractor, train)
    test, noise = (
        real[part][random_subset(len(real[part]), len(samples), part)] for part in ("test", "noise")
    )
    title = f"{extractor} of generated samples"
    generated = extract_features(model, samples, title, device)
    return FeatureSets(real["train"], generated, test, noise, model.resize)


def _samples_as_features(plan: Plan, run: Run, train: Split, samples: Tensor) -> FeatureSets:
    test = read_split(plan.paths.dataset_store(run.dataset.id), "test").model_space()
    test = test[random_subset(len(test), len(samples), "test")]
    parts = (train.model_space(), samples, test, uniform_noise(train, len(samples)))
    real, generated, tested, noise = (Features(part.flatten(1)) for part in parts)
    return FeatureSets(real, generated, tested, noise, resize="none")
