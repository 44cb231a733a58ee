"""Time feature extractors, metrics of samples and the exact score on random data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features, Moments
from scoresweep.pipeline.commands.estimate.stopwatch import (
    LONG_ENOUGH,
    extrapolate,
    mean_seconds,
    seconds_at,
)
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.evaluation.feature_sets import (
    DatasetFacts,
    FeatureSets,
    dataset_facts,
)
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.study.methods.metrics import ExtractorFacts, find_extractor

__all__ = ["ExtractorTimes", "exact_score_seconds", "metric_seconds", "time_extractor"]

CLASSES = 10
"""Number of classes of random probabilities."""

FIRST_SAMPLES = 500
"""Generated samples of the first measurement of a metric."""

FEW_HALVES = 4
"""Random halves that are timed; the others take as long."""

MAX_NOISE = 1000
"""Maximum number of samples of uniform noise."""


class ExtractorTimes(NamedTuple):
    """Cost of a feature extractor on this machine."""

    fit_seconds: float
    """Seconds of its training on the real samples; 0 for published weights."""
    sample_seconds: float
    """Seconds of the features of one sample."""
    batch_size: int
    """Samples of a batch, all of which have this size."""
    num_features: int
    """Number of features of a sample."""

    def seconds(self, count: int) -> float:
        """Return the seconds of the features of `count` samples."""
        batches = math.ceil(count / self.batch_size)
        return batches * self.batch_size * self.sample_seconds


# ── Extractors ──────────────────────────────────────────────────────────────────────────────────


def time_extractor(model: Extractor, shape: tuple[int, ...]) -> ExtractorTimes:
    """Time an extractor, with whatever weights it has, on random samples."""
    samples = torch.rand(model.batch_size, *shape)
    if samples.ndim == 4:
        samples = samples.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        number = model(samples[:2]).values.shape[1]
        seconds = seconds_at(lambda size: model(samples[:size]), model.batch_size, 4)
    fit = _seconds_of_fit(model, samples) if model.is_trained_here else 0.0
    return ExtractorTimes(fit, seconds / model.batch_size, model.batch_size, number)


def _seconds_of_fit(model: Extractor, samples: Tensor) -> float:
    """Return the seconds of all training steps of an extractor."""
    recipe = model.recipe()
    size = round(recipe.get("batch_size", model.batch_size) + recipe.get("noise", 0))
    optimizer = torch.optim.AdamW(model.parameters())
    x = samples[torch.arange(size) % len(samples)]
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        features = model(x)
        outputs = features.values if features.probabilities is None else features.probabilities
        outputs.square().mean().backward()
        optimizer.step()

    step()
    seconds = mean_seconds(step)
    model.eval()
    return seconds * recipe.get("steps", 0)


# ── Metrics ─────────────────────────────────────────────────────────────────────────────────────


class _Pair(NamedTuple):
    """A metric on an extractor, in a block that asks for nothing else."""

    evaluate: Evaluate
    extractor: ExtractorFacts | None
    """None: the samples themselves."""


def metric_seconds(
    evaluate: Evaluate, real: RealData, dims: dict[str, int], counts: tuple[int, int, int]
) -> tuple[float, float]:
    """Return the seconds of all metrics of a set of samples, and how many more of the first one.

    Args:
        evaluate: the metrics and their options.
        real: data of the shape of the study's.
        dims: number of features, by the name of the extractor.
        counts: numbers of real training samples, of real test samples and of generated ones.
    """
    facts, shape = dataset_facts(real), real.train.shape
    found = []
    for pair in _pairs(evaluate):
        extractor = pair.extractor
        dim = math.prod(shape) if extractor is None else dims[extractor.key]
        found.append(_Metric(pair, facts, dim, counts).seconds())
    return sum(each for each, _ in found), sum(more for _, more in found)


def _pairs(evaluate: Evaluate) -> Iterator[_Pair]:
    of_samples = {metric.key: metric for metric in evaluate.sample_metrics}
    for entry in (metric for metric in evaluate.metrics if metric != "score_error"):
        one = evaluate.model_copy(update={"metrics": [entry]})
        if not one.sample_metrics or one.sample_metrics[0].key not in of_samples:
            continue
        if one.sample_metrics[0].needs_logits:
            continue  # few operations beside its features, and its weights may not be here yet
        if one.sample_metrics[0].on_samples:
            yield _Pair(one, None)
            continue
        for extractor in evaluate.extractors:
            pair = one.model_copy(update={"extractors": [extractor]})
            yield _Pair(pair, find_extractor(extractor))


class _Metric:
    """Times one metric on random features of `dim` numbers."""

    def __init__(
        self, pair: _Pair, facts: DatasetFacts, dim: int, counts: tuple[int, int, int]
    ) -> None:
        self.pair, self.facts, self.dim = pair, facts, dim
        self.train, self.test, self.count = counts

    def seconds(self) -> tuple[float, float]:
        """Return the seconds of a set of samples, and how many more of the first one."""
        size = self._first_size()
        times, first = dict[int, float](), dict[int, float]()
        while True:
            times[size], first[size] = self._time(size)
            spent = times[size] + first[size]
            if size == self.count or (spent > LONG_ENOUGH and len(times) > 1) or spent > 1:
                return extrapolate(times, self.count), extrapolate(first, self.count)
            size = min(self.count, 4 * size)

    def _first_size(self) -> int:
        largest = max(self.count, self.train)
        return max(2, min(self.count, round(self.count * FIRST_SAMPLES / largest)))

    def _time(self, size: int) -> tuple[float, float]:
        """Return the seconds at `size` generated samples and as large a share of the others."""
        halves = self.pair.evaluate.resamplings
        few = min(halves, FEW_HALVES)
        make = self._sets(size)
        first = self._measure(make(), 0)
        sets = make()
        plain = mean_seconds(lambda: self._measure(sets, 0))
        with_few = mean_seconds(lambda: self._measure(sets, few)) if few else plain
        each = max(with_few - plain, 0.0) / max(few, 1)
        return plain + halves * each, max(first - plain, 1e-9)

    def _measure(self, sets: FeatureSets, halves: int) -> float:
        evaluate = self.pair.evaluate.model_copy(update={"resamplings": halves})
        fresh = Features(sets.generated.values, sets.generated.probabilities)
        sets = FeatureSets(sets.train, fresh, sets.test, sets.noise, sets.resize)
        started = time.process_time()
        measure_samples(evaluate, lambda _: sets, self.facts)
        return time.process_time() - started

    def _sets(self, size: int) -> Callable[[], FeatureSets]:
        share = size / self.count
        train = self._features(max(4, round(share * self.train)), 0, with_moments=True)
        test = self._features(min(max(4, round(share * self.test)), size), 1)
        noise = self._features(min(MAX_NOISE, size, len(train)), 2)

        def make() -> FeatureSets:
            return FeatureSets(train, self._features(size, 3), test, noise, resize="none")

        return make

    def _features(self, count: int, seed: int, *, with_moments: bool = False) -> Features:
        generator = torch.Generator().manual_seed(seed)
        values = torch.rand(count, self.dim, generator=generator)
        moments = probabilities = None
        if self.pair.extractor is not None and self.pair.extractor.gives_classes:
            probabilities = torch.rand(count, CLASSES, generator=generator).softmax(dim=1)
        if with_moments and self.pair.extractor is not None:
            rows = min(count, self.dim)
            factor = torch.rand(rows, self.dim, generator=generator, dtype=torch.float64)
            moments = Moments(torch.full((self.dim,), 0.5, dtype=torch.float64), factor)
        return Features(values, probabilities, moments)


# ── Exact score ─────────────────────────────────────────────────────────────────────────────────


def exact_score_seconds(real: RealData, train_count: int) -> float:
    """Return the seconds of the exact score at one point of a dataset of `train_count` samples."""
    exact = load_exact_score(real.plan.paths.dataset_store(real.dataset.id))
    points = real.train.model_space(slice(64))
    sigma = points.new_full((len(points),), 0.5)
    exact(points, sigma)
    seconds = mean_seconds(lambda: exact(points, sigma)) / len(points)
    is_mixture = dataset_facts(real).mixture is not None
    share = 1.0 if is_mixture else train_count / len(real.train.values)
    return seconds * share
