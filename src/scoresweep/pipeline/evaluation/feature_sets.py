"""The features that metrics of sample quality compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics.features import Features
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.sources.shapes import class_shares
from scoresweep.pipeline.evaluation.kept_features import KeptFeatures, hash_samples
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.study.methods.datasets import GaussianMixtureData, Shapes

__all__ = [
    "NO_EXTRACTOR",
    "DatasetFacts",
    "FeatureSets",
    "dataset_facts",
    "extract_feature_sets",
]

NO_EXTRACTOR = ""
"""Used instead of the name or key of an extractor for the samples themselves."""


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
    shape: tuple[int, ...] = ()
    """Shape of a sample, (C, H, W) or (D,)."""


def dataset_facts(real: RealData) -> DatasetFacts:
    """Return what is known about a dataset."""
    mixture = shares = None
    if isinstance(real.dataset, GaussianMixtureData):
        mixture = load_exact_score(real.plan.paths.dataset_store(real.dataset.id))
    if isinstance(real.dataset, Shapes):
        requested = (real.dataset.shares or {}).items()
        shares = torch.from_numpy(class_shares({str(name): share for name, share in requested}))
    return DatasetFacts(real.train.class_names, mixture, shares, real.train.shape)


def extract_feature_sets(
    real: RealData, extractor: str, samples: Tensor, kept: Path | None = None
) -> FeatureSets:
    """Return the features of generated samples, and of the real ones to compare them with.

    `extractor` is its key; for `NO_EXTRACTOR`, the samples themselves are the features. `kept` is
    the file that keeps the features of the generated samples, if any.
    """
    count = len(samples)
    if extractor == NO_EXTRACTOR:
        train, test, noise = (
            real.samples_as_features(part, count) for part in ("train", "test", "noise")
        )
        return FeatureSets(train, Features(samples.flatten(1)), test, noise, resize="none")
    train = real.features(extractor)["train"]
    test, noise = (real.some_features(extractor, part, count) for part in ("test", "noise"))
    generated = _generated_features(real, extractor, samples, kept)
    return FeatureSets(train, generated, test, noise, real.resize(extractor))


def _generated_features(
    real: RealData, extractor: str, samples: Tensor, kept: Path | None
) -> Features:
    """Return the features of `samples`; only those that are not in the file `kept` are computed."""
    title = f"{real.plan.extractors[extractor].name} of generated samples"
    if kept is None:
        return extract_features(real.extractor(extractor), samples, title, real.device)
    weights = real.identity(extractor)["weights_sha256"]
    code = current_code("features").code
    file = KeptFeatures(kept, {"extractor": extractor, "weights_sha256": weights, "code": code})
    hashes = hash_samples(samples)
    earlier = file.read(hashes)
    if earlier is not None and len(earlier) == len(samples):
        return earlier
    model = real.extractor(extractor)
    # Whole batches only, so that features do not depend on when they were computed.
    first = 0 if earlier is None else len(earlier) // model.batch_size * model.batch_size
    features = extract_features(model, samples[first:], title, real.device)
    if earlier is not None:
        features = Features.join([earlier[torch.arange(first)], features])
    file.write(features, hashes)
    return features
