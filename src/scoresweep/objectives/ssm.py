"""Sliced score matching, λ(σ) E[vᵀ ∇s v + ½ (vᵀs)²] (Song et al. 2019, eq. 7).

For directions with E vvᵀ = I its expectation equals that of `ism`. Noise is added to the samples
first, x̃ = x + σz, so s is compared with the score of the smoothed density q_σ.
"""

from __future__ import annotations

from torch import Tensor

from scoresweep.objectives.sliced_terms import sliced_terms
from scoresweep.objectives.weighting import Weighting, apply_weighting
from scoresweep.score import Score

__all__ = ["ssm"]


def ssm(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    v: Tensor,
    weighting: Weighting = "sigma2",
) -> Tensor:
    """Return the sliced score matching losses λ(σ) [vᵀ∇s v + ½(vᵀs)²], averaged over v, (N,).

    Args:
        score: the network to train.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        v: random directions, (M, N, ...), with mean 0 and covariance I, for example standard normal
            or Rademacher.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1.
    """
    _, curvature, along = sliced_terms(score, x, sigma, z, v)
    return apply_weighting((curvature + along.square() / 2).mean(0), sigma, weighting)
