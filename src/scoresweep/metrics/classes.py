"""Class shares and confidence of a classifier on the samples."""

from __future__ import annotations

import torch

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.standard_errors import error_of_mean, error_of_share

__all__ = ["classes"]


def classes(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:  # noqa: ARG001
    """Measure `class_share` (K,) and `class_confidence`, the mean probability of the top class.

    Returns {} for an extractor without class probabilities.
    """
    if generated.probabilities is None:
        return {}
    confidence, predicted = generated.probabilities.max(dim=1)
    counts = torch.bincount(predicted, minlength=generated.probabilities.shape[1])
    shares = counts.double() / len(generated)
    return {
        "class_share": MetricValue(
            shares,
            "share of samples assigned to the class",
            n_real=len(real),
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
            error=error_of_share(shares, len(generated)),
        ),
        "class_confidence": MetricValue(
            float(confidence.mean(dtype=torch.float64)),
            "mean probability of the most likely class",
            n_real=len(real),
            better="higher",
            minimum=0.0,
            maximum=1.0,
            caveat="samples unlike any real one can be classified with confidence too",
            per_extractor=False,
            error=error_of_mean(confidence),
        ),
    }
