"""Metrics of scores and of samples: tensors in, numbers out."""

from scoresweep.intervals import bounded_interval
from scoresweep.metrics.asymmetry import asymmetry
from scoresweep.metrics.classes import classes
from scoresweep.metrics.density_bins import error_by_density
from scoresweep.metrics.distances import nearest_distances
from scoresweep.metrics.energy import energy, energy_distance
from scoresweep.metrics.features import Features, Metric, MetricValue, Moments, Options
from scoresweep.metrics.frechet import frechet, frechet_distance
from scoresweep.metrics.frechet_infinity import frechet_infinity
from scoresweep.metrics.inception_score import inception_score
from scoresweep.metrics.kernel import kernel_distance, kid
from scoresweep.metrics.mmd import gaussian_mmd, mmd
from scoresweep.metrics.modes import modes
from scoresweep.metrics.neighbours import (
    nearest,
    prdc,
    precision_recall_density_coverage,
)
from scoresweep.metrics.recovered_density import recover_density
from scoresweep.metrics.score_error import compare_scores, score_error
from scoresweep.metrics.shape_shares import shapes
from scoresweep.metrics.sliced_wasserstein import sliced_wasserstein, sliced_wasserstein_distance
from scoresweep.metrics.standard_errors import half_sample_errors

__all__ = [
    "Features",
    "Metric",
    "MetricValue",
    "Moments",
    "Options",
    "asymmetry",
    "bounded_interval",
    "classes",
    "compare_scores",
    "energy",
    "energy_distance",
    "error_by_density",
    "frechet",
    "frechet_distance",
    "frechet_infinity",
    "gaussian_mmd",
    "half_sample_errors",
    "inception_score",
    "kernel_distance",
    "kid",
    "mmd",
    "modes",
    "nearest",
    "nearest_distances",
    "prdc",
    "precision_recall_density_coverage",
    "recover_density",
    "score_error",
    "shapes",
    "sliced_wasserstein",
    "sliced_wasserstein_distance",
]
