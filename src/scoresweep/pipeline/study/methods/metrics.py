"""Metrics and feature extractors: what planning must know about them, without importing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from scoresweep.metric_names import metric_name
from scoresweep.pipeline.study.config import MethodConfig, content_hash
from scoresweep.plugins import Better

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "NETWORK_METRICS",
    "SAMPLE_HASH_BYTES",
    "Better",
    "ExtractorFacts",
    "ExtractorMethod",
    "MetricFacts",
    "MetricMethod",
    "find_extractor",
    "find_metric",
    "ranking_measures",
]

NETWORK_METRICS: dict[str, str] = {
    "score_error": "scoresweep.pipeline.evaluation.network_metrics:measure_network",
    "bits_per_dimension": "scoresweep.pipeline.evaluation.network_likelihood:measure_likelihood",
}
"""Metrics of networks, which need no samples, and their functions."""

SAMPLE_HASH_BYTES = 16
"""Bytes of the hash of a sample, which is kept beside its features."""


class MetricMethod(MethodConfig):
    """The options of a metric that a decorator declares."""

    name: str
    on_samples: ClassVar[bool] = False
    ranking: ClassVar[Mapping[str, Better]] = {}
    needs_images: ClassVar[bool] = False


class ExtractorMethod(MethodConfig):
    """The options of an extractor that a decorator declares."""

    name: str
    needs_images: ClassVar[bool] = False
    smallest_side: ClassVar[int] = 1


@dataclass(frozen=True)
class MetricFacts:
    """A metric of sample quality."""

    name: str
    target: str
    """"module:attribute"."""
    ranking: Mapping[str, Better] = field(default_factory=dict)
    """Values that rank settings, and their direction. The others have no direction, or bad samples
    can score well."""
    on_samples: bool = False
    """Whether it uses the samples themselves, without extractor."""
    dataset: str | None = None
    """The only dataset that it is defined for."""
    needs_classes: bool = False
    """Whether it needs class probabilities from an extractor."""
    needs_logits: bool = False
    """Whether it needs an extractor whose features give logits of classes."""
    needs_images: bool = False
    uses_moments: bool = False
    """Whether it uses mean and covariance of the real features only, which a file may give."""
    method: MetricMethod | None = None
    """Its options, if a decorator declares it."""

    @property
    def key(self) -> str:
        """What identifies it: the name, and a hash of the code and the options of `method`."""
        return _key(self.name, self.method)


@dataclass(frozen=True)
class ExtractorFacts:
    """A feature extractor."""

    name: str
    """The metric `frechet` with the extractor `pixels` is `frechet_pixels`."""
    target: str
    """"module:attribute"."""
    num_features: int | None = None
    """Number of features of a sample; None: only a trial run can tell."""
    is_kept: bool = True
    """Whether the features of generated samples are kept in files."""
    is_published: bool = False
    """Whether it has published weights, which are fetched."""
    gives_classes: bool = False
    """Whether it returns class probabilities."""
    gives_logits: bool = False
    """Whether a published layer maps its features to logits of classes."""
    needs_images: bool = True
    smallest_side: int = 1
    """Minimum height and width of an image, in pixels."""
    method: ExtractorMethod | None = None
    """Its options, if a decorator declares it."""

    @property
    def key(self) -> str:
        """What names its files: the name, and a hash of the code and the options of `method`."""
        return _key(self.name, self.method)


def _key(name: str, method: MethodConfig | None) -> str:
    return name if method is None else f"{name}-{content_hash(method)}"


METRICS: dict[str, MetricFacts] = {
    metric.name: metric
    for metric in (
        MetricFacts(
            "frechet",
            "scoresweep.metrics.frechet:frechet",
            {"frechet": "lower"},
            uses_moments=True,
        ),
        MetricFacts(
            "frechet_infinity",
            "scoresweep.metrics.frechet_infinity:frechet_infinity",
            {"frechet_infinity": "lower"},
            uses_moments=True,
        ),
        MetricFacts("kid", "scoresweep.metrics.kernel:kid", {"kid": "lower"}),
        MetricFacts("mmd", "scoresweep.metrics.mmd:mmd", {"mmd": "lower"}),
        MetricFacts(
            "energy_distance", "scoresweep.metrics.energy:energy", {"energy_distance": "lower"}
        ),
        MetricFacts(
            "sliced_wasserstein",
            "scoresweep.metrics.sliced_wasserstein:sliced_wasserstein",
            {"sliced_wasserstein": "lower"},
        ),
        MetricFacts(
            "inception_score",
            "scoresweep.metrics.inception_score:inception_score",
            {"inception_score": "higher"},
            needs_logits=True,
        ),
        MetricFacts("prdc", "scoresweep.metrics.neighbours:prdc", {"coverage": "higher"}),
        MetricFacts("nearest", "scoresweep.metrics.neighbours:nearest"),
        MetricFacts("classes", "scoresweep.metrics.classes:classes", needs_classes=True),
        MetricFacts(
            "modes",
            "scoresweep.metrics.modes:modes",
            {"mode_error": "lower"},
            on_samples=True,
            dataset="gaussian_mixture",
        ),
        MetricFacts(
            "shapes",
            "scoresweep.metrics.shape_shares:shapes",
            {"shape_error": "lower", "shape_mass_outside": "lower"},
            on_samples=True,
            dataset="shapes",
        ),
    )
}

EXTRACTORS: dict[str, ExtractorFacts] = {
    extractor.name: extractor
    for extractor in (
        ExtractorFacts(
            "pixels",
            "scoresweep.metrics.extractors.pixels:Pixels",
            is_kept=False,  # the features are the samples themselves
            needs_images=False,
        ),
        ExtractorFacts(
            "classifier",
            "scoresweep.metrics.extractors.classifier:Classifier",
            64,
            gives_classes=True,
        ),
        ExtractorFacts(
            "inception",
            "scoresweep.metrics.extractors.inception:Inception",
            2048,
            is_published=True,
            gives_logits=True,
        ),
        ExtractorFacts(
            "inception_half_pixel",
            "scoresweep.metrics.extractors.inception:InceptionHalfPixel",
            2048,
            is_published=True,
            gives_logits=True,
        ),
        ExtractorFacts(
            "inception_antialias",
            "scoresweep.metrics.extractors.inception:InceptionAntialias",
            2048,
            is_published=True,
            gives_logits=True,
        ),
        ExtractorFacts(
            "efficientnet_lite0",
            "scoresweep.metrics.extractors.efficientnet:EfficientNetLite0",
            1280,
            is_published=True,
        ),
    )
}


def find_metric(entry: str | MetricMethod) -> MetricFacts:
    """Return the facts of a metric of sample quality, given its name or the options of a method."""
    if isinstance(entry, str):
        return METRICS[entry]
    return MetricFacts(
        entry.name,
        entry.target,
        entry.ranking,
        on_samples=entry.on_samples,
        needs_images=entry.needs_images,
        method=entry,
    )


def find_extractor(entry: str | ExtractorMethod) -> ExtractorFacts:
    """Return the facts of an extractor, given its name or the options of a method."""
    if isinstance(entry, str):
        return EXTRACTORS[entry]
    return ExtractorFacts(
        entry.name,
        entry.target,
        needs_images=entry.needs_images,
        smallest_side=entry.smallest_side,
        method=entry,
    )


def ranking_measures(
    metrics: Iterable[MetricFacts], extractors: Iterable[ExtractorFacts]
) -> dict[str, Better]:
    """Return the names of the measured values that rank settings, and their direction."""
    names = [extractor.name for extractor in extractors]
    return {
        value if metric.on_samples else metric_name(value, name): better
        for metric in metrics
        for value, better in metric.ranking.items()
        for name in names
    }
