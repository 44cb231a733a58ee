"""Coverage of the 95 % intervals of metrics."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from scoresweep.metrics import Features
from scoresweep.pipeline.evaluation.feature_sets import DatasetFacts, FeatureSets
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.study import Evaluate


def draw(count: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    widths = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    return scale * widths * torch.randn(count, 3, generator=generator, dtype=torch.float64)


def repeat(
    metric: str, count: int, repeats: int, scale: float = 1.3, **options: Any
) -> dict[str, np.ndarray]:
    """Return value and interval ends (repeats, 3) by metric, each of fresh samples."""
    real, other = Features(draw(500, 0)), Features(draw(30, 1))
    evaluate = Evaluate(metrics=[metric], extractors=["pixels"], **options)
    rows: dict[str, list[list[float]]] = {}
    for seed in range(repeats):
        generated = Features(draw(count, 2 + seed, scale))
        sets = FeatureSets(real, generated, other, other, resize="none")
        found, problems = measure_samples(evaluate, {"pixels": sets}.__getitem__, DatasetFacts())
        assert not problems
        for name in found:
            if f"{name}_low" in found:
                ends = [float(found[f"{name}{suffix}"]) for suffix in ("", "_low", "_high")]
                rows.setdefault(str(name), []).append(ends)
    return {name: np.array(values) for name, values in rows.items()}


@pytest.mark.parametrize(
    ("metric", "scale"), [("frechet", 1.3), ("frechet_infinity", 1.3), ("prdc", 0.7)]
)
def test_intervals_cover_the_mean_over_fresh_samples(metric: str, scale: float) -> None:
    """In 95 % of cases, minus at most three standard errors."""
    repeats = 100
    for name, values in repeat(metric, 100, repeats, scale, resamplings=20).items():
        value, low, high = values.T
        share = np.mean((low <= value.mean()) & (value.mean() <= high))
        assert share > 0.95 - 3 * (0.95 * 0.05 / repeats) ** 0.5, name


def test_intervals_cover_the_mean_of_rare_events() -> None:
    """On average one of 200 samples is near the data; many sets have none, so their halves agree.

    Recall depends on that one sample, whose ball reaches all others: it is 0 or 1.
    """
    real, other = Features(draw(400, 0)), Features(draw(30, 1))
    evaluate = Evaluate(metrics=["prdc"], extractors=["pixels"], resamplings=4)
    rows = []
    for seed in range(40):
        generated = draw(200, 2 + seed)
        away = torch.rand(200, generator=torch.Generator().manual_seed(seed)) > 0.005
        generated[away] += 20
        sets = FeatureSets(real, Features(generated), other, other, resize="none")
        rows.append(measure_samples(evaluate, {"pixels": sets}.__getitem__, DatasetFacts())[0])
    found = xr.concat(rows, "set")
    assert 5 < int((found["precision_pixels"] == 0).sum()) < 25
    for name in ("precision", "recall", "density", "coverage"):
        low, high = found[f"{name}_pixels_low"], found[f"{name}_pixels_high"]
        assert (high > low).all(), name
        mean = found[f"{name}_pixels"].mean()
        share = float(((low <= mean) & (mean <= high)).mean())
        assert share > 0.85 or name == "recall", name


def test_intervals_are_those_of_the_samples_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Errors from halves match the scatter over fresh samples if a metric uses half of them.

    Halves of all samples would give errors that are √2 times too small.
    """
    monkeypatch.setattr(importlib.import_module("scoresweep.metrics.energy"), "MAX_SAMPLES", 50)
    (values,) = repeat("energy_distance", 100, 150, 2.0, resamplings=20).values()
    value, low, high = values.T
    errors = value * np.log(high / low) / (2 * 1.96)
    assert errors.mean() == pytest.approx(value.std(ddof=1), rel=0.15)


@pytest.mark.parametrize(
    "change", [{}, {"neighbours": 3}, {"seed": 1}, {"kid_subsets": 3}, {"kid_subset_size": 10}]
)
def test_real_samples_that_were_used_before_give_the_same_values(change: dict[str, Any]) -> None:
    """Their baselines are computed once for the same options."""

    def features() -> tuple[Features, Features, Features]:
        return Features(draw(60, 0)), Features(draw(30, 1)), Features(draw(30, 2, 4.0))

    def measured(real: tuple[Features, Features, Features], **options: Any) -> xr.Dataset:
        given = {"neighbours": 2, "kid_subsets": 4, "kid_subset_size": 20} | options
        evaluate = Evaluate(
            metrics=["kid", "prdc", "frechet"], extractors=["pixels"], resamplings=2, **given
        )
        train, test, noise = real
        sets = FeatureSets(train, Features(draw(40, 3)), test, noise, resize="none")
        return measure_samples(evaluate, {"pixels": sets}.__getitem__, DatasetFacts())[0]

    used = features()
    first = measured(used)
    again = measured(used, **change)
    assert again.identical(measured(features(), **change))
    assert first["kid_pixels_real"] != first["kid_pixels_noise"]
