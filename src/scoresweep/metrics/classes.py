"""What a classifier says of the samples: how they share out over the classes, and how surely."""

from __future__ import annotations

import torch

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.standard_errors import error_of_mean, error_of_share

__all__ = ["classes"]


def classes(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:  # noqa: ARG001
    """Measure `class_share` (of each class) and `class_confidence` (mean top-class probability).

    Nothing is measured on features of an extractor that gives no class probabilities.
    """
    if generated.probabilities is None:
        return {}
    confidence, predicted = generated.probabilities.max(dim=1)
    counts = torch.bincount(predicted, minlength=generated.probabilities.shape[1])
    shares = counts.double() / len(generated)
    return {
        "class_share": MetricValue(
            shares,
            "share of samples that look most like the class",
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
            caveat="samples unlike any real one are often classified surely, too",
            per_extractor=False,
            error=error_of_mean(confidence),
        ),
    }
