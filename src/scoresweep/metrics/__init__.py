"""Measures of scores and of samples: tensors in, numbers out."""

from scoresweep.metrics.classes import classes
from scoresweep.metrics.features import Features, Measure, Metric, Options
from scoresweep.metrics.frechet import frechet, frechet_distance
from scoresweep.metrics.intervals import bounded_interval, half_sample_errors
from scoresweep.metrics.kernel import kernel_distance, kid
from scoresweep.metrics.neighbours import (
    nearest,
    nearest_distances,
    prdc,
    precision_recall_density_coverage,
)
from scoresweep.metrics.score_error import compare_scores, score_error

__all__ = [
    "Features",
    "Measure",
    "Metric",
    "Options",
    "bounded_interval",
    "classes",
    "compare_scores",
    "frechet",
    "frechet_distance",
    "half_sample_errors",
    "kernel_distance",
    "kid",
    "nearest",
    "nearest_distances",
    "prdc",
    "precision_recall_density_coverage",
    "score_error",
]
