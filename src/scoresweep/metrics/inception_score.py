"""Inception Score (Salimans et al. 2016): varied samples whose classes are certain score well.

exp E KL(p(y|x) ‖ p(y)), where p(y|x) are the class probabilities of a sample, and p(y) their mean
over samples. As in the authors' program and in torch-fidelity, the samples are divided into ten
random splits; the score is the mean over splits, and its standard deviation over splits is given
beside it. The probabilities are those of the 1,008 outputs of the Inception network of 2015-12-05
without their biases. They are linear in its features, which therefore are all that it needs.

A split of n samples underestimates the score of infinitely many, so that scores of different
numbers of samples cannot be compared. Its logarithm is, to first order, a mean of KL(p(y|x) ‖ p(y))
over samples, from whose variance the standard error follows.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.standard_errors import error_of_mean
from scoresweep.seeds import generator_for

__all__ = ["inception_score"]

SPLITS = 10


def inception_score(
    real: Features,  # noqa: ARG001
    generated: Features,
    options: Options,
) -> dict[str, MetricValue]:
    """Measure `inception_score`, and `inception_score_std` over splits.

    Returns {} for an extractor without the layer of classes.

    Raises:
        ValueError: if there are fewer than 20 samples.
    """
    weight, count = options.class_weights, len(generated)
    if weight is None:
        return {}
    if count < 2 * SPLITS:
        raise ValueError(f"expected {2 * SPLITS} generated samples or more, found {count}")
    order = torch.randperm(count, generator=generator_for(options.seed, "splits"))
    bounds = [split * count // SPLITS for split in range(SPLITS + 1)]
    splits = [order[start:stop] for start, stop in itertools.pairwise(bounds)]
    divergences = [_divergences(generated.values[index] @ weight.T) for index in splits]
    scores = torch.stack([each.mean().exp() for each in divergences])
    score, deviation = float(scores.mean()), float(scores.std(correction=0))
    return {
        "inception_score": MetricValue(
            score,
            "Inception Score",
            n_real=None,
            better="higher",
            minimum=1.0,
            maximum=float(len(weight)),
            error=score * error_of_mean(torch.cat(divergences)),
        ),
        "inception_score_std": MetricValue(
            deviation,
            "standard deviation of the Inception Score over splits",
            n_real=None,
            minimum=0.0,
            error=deviation / math.sqrt(2 * (SPLITS - 1)),
        ),
    }


def _divergences(logits: Tensor) -> Tensor:
    """Return KL(p(y|x) ‖ p(y)) of each sample of a split in nats, (N,), float64."""
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    return (p * (log_p - p.mean(dim=0).log())).sum(dim=1)
