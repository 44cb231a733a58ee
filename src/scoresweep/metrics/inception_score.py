"""Inception Score (Salimans et al. 2016): varied samples whose classes are certain score well.

exp E KL(p(y|x) ‖ p(y)), where p(y|x) are the class probabilities of a sample, and p(y) their mean
over samples. The samples are divided into random splits, ten by default; the score is the mean over
splits, and its standard deviation over splits is given beside it. torch-fidelity does the same; the
authors' program takes ten splits of consecutive samples, and score_sde one split of all samples.
The probabilities are those of the 1,008 outputs of the Inception network of 2015-12-05
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


def inception_score(
    real: Features,  # noqa: ARG001
    generated: Features,
    options: Options,
) -> dict[str, MetricValue]:
    """Measure `inception_score`, and `inception_score_std` over splits if there are several.

    Returns {} for an extractor without the layer of classes.

    Raises:
        ValueError: if there are fewer than two samples per split.
    """
    weight, count, number = options.class_weights, len(generated), options.inception_score_splits
    if weight is None:
        return {}
    if count < 2 * number:
        raise ValueError(f"expected {2 * number} generated samples or more, found {count}")
    order = torch.randperm(count, generator=generator_for(options.seed, "splits"))
    bounds = [split * count // number for split in range(number + 1)]
    splits = [order[start:stop] for start, stop in itertools.pairwise(bounds)]
    divergences = [_divergences(generated.values[index] @ weight.T) for index in splits]
    scores = torch.stack([each.mean().exp() for each in divergences])
    score, deviation = float(scores.mean()), float(scores.std(correction=0))
    found = {
        "inception_score": MetricValue(
            score,
            "Inception Score",
            n_real=None,
            better="higher",
            minimum=1.0,
            maximum=float(len(weight)),
            error=score * error_of_mean(torch.cat(divergences)),
        )
    }
    if number > 1:
        found["inception_score_std"] = MetricValue(
            deviation,
            "standard deviation of the Inception Score over splits",
            n_real=None,
            minimum=0.0,
            error=deviation / math.sqrt(2 * (number - 1)),
        )
    return found


def _divergences(logits: Tensor) -> Tensor:
    """Return KL(p(y|x) ‖ p(y)) of each sample of a split in nats, (N,), float64."""
    log_p = logits.double().log_softmax(dim=1)
    # The mean of p can underflow to 0; its logarithm is finite.
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_mean)).sum(dim=1)
