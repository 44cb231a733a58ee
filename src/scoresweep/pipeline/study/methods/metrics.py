"""Metrics and feature extractors, by name: tables of "module:attribute"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from scoresweep.metric_names import metric_name
from scoresweep.pipeline.errors import did_you_mean

__all__ = [
    "CLASS_EXTRACTORS",
    "CLASS_METRICS",
    "DATASET_METRICS",
    "EXTRACTORS",
    "IMAGE_EXTRACTORS",
    "METRICS",
    "NETWORK_METRICS",
    "NUM_FEATURES",
    "SAMPLE_HASH_BYTES",
    "UNPUBLISHED_EXTRACTORS",
    "Better",
    "ExtractorName",
    "MetricName",
    "ranking_measures",
]

METRICS: dict[str, str] = {
    "frechet": "scoresweep.metrics.frechet:frechet",
    "frechet_infinity": "scoresweep.metrics.frechet_infinity:frechet_infinity",
    "kid": "scoresweep.metrics.kernel:kid",
    "mmd": "scoresweep.metrics.mmd:mmd",
    "energy_distance": "scoresweep.metrics.energy:energy",
    "sliced_wasserstein": "scoresweep.metrics.sliced_wasserstein:sliced_wasserstein",
    "prdc": "scoresweep.metrics.neighbours:prdc",
    "nearest": "scoresweep.metrics.neighbours:nearest",
    "classes": "scoresweep.metrics.classes:classes",
    "modes": "scoresweep.metrics.modes:modes",
    "shapes": "scoresweep.metrics.shape_shares:shapes",
}
"""Metrics of sample quality."""

NETWORK_METRICS = ("score_error", "bits_per_dimension")
"""Metrics of networks, which need no samples."""

EXTRACTORS: dict[str, str] = {
    "pixels": "scoresweep.metrics.extractors.pixels:Pixels",
    "classifier": "scoresweep.metrics.extractors.classifier:Classifier",
    "inception": "scoresweep.metrics.extractors.inception:Inception",
    "inception_half_pixel": "scoresweep.metrics.extractors.inception:InceptionHalfPixel",
    "inception_antialias": "scoresweep.metrics.extractors.inception:InceptionAntialias",
    "efficientnet_lite0": "scoresweep.metrics.extractors.efficientnet:EfficientNetLite0",
}
"""Feature extractors; the metric `frechet` with the extractor `pixels` is `frechet_pixels`."""

NUM_FEATURES: dict[str, int] = {
    "classifier": 64,
    "inception": 2048,
    "inception_half_pixel": 2048,
    "inception_antialias": 2048,
    "efficientnet_lite0": 1280,
}
"""Number of features of a sample, for the extractors whose features are kept in files; those of
`pixels` are the samples themselves."""

UNPUBLISHED_EXTRACTORS = frozenset({"classifier", "pixels"})
"""Extractors without published weights."""

SAMPLE_HASH_BYTES = 16
"""Bytes of the hash of a sample, which is kept beside its features."""

DATASET_METRICS: dict[str, str] = {"modes": "gaussian_mixture", "shapes": "shapes"}
"""Metrics defined for one dataset only; they use the samples directly, without extractor."""

Better = Literal["lower", "higher"]

RANKING: dict[str, dict[str, Better]] = {
    "frechet": {"frechet": "lower"},
    "frechet_infinity": {"frechet_infinity": "lower"},
    "kid": {"kid": "lower"},
    "mmd": {"mmd": "lower"},
    "energy_distance": {"energy_distance": "lower"},
    "sliced_wasserstein": {"sliced_wasserstein": "lower"},
    "prdc": {"coverage": "higher"},
    "modes": {"mode_error": "lower"},
    "shapes": {"shape_error": "lower", "shape_mass_outside": "lower"},
}
"""Values of each metric that rank settings, and their direction. The others have no direction, or
bad samples can score well."""

CLASS_METRICS = frozenset({"classes"})
"""Metrics that need class probabilities from an extractor."""

CLASS_EXTRACTORS = frozenset({"classifier"})
"""Extractors that return class probabilities."""

IMAGE_EXTRACTORS = frozenset(EXTRACTORS) - {"pixels"}
"""Extractors that need images, not points."""


def ranking_measures(metrics: Sequence[str], extractors: Sequence[str]) -> dict[str, Better]:
    """Return the names of the measured values that rank settings, and their direction."""
    return {
        value if metric in DATASET_METRICS else metric_name(value, extractor): better
        for metric in metrics
        for value, better in RANKING.get(metric, {}).items()
        for extractor in extractors
    }


def _one_of(*names: str) -> Any:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}.{did_you_mean(value, names)}")
        return value

    return Annotated[
        str, AfterValidator(check), WithJsonSchema({"enum": list(names), "type": "string"})
    ]


MetricName = _one_of(*NETWORK_METRICS, *METRICS)

ExtractorName = _one_of(*EXTRACTORS)
