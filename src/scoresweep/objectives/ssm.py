"""Sliced score matching, λ(σ) E[vᵀ ∇s v + ½ (vᵀs)²] (Song et al. 2019, eq. 7).

For directions with E vvᵀ = I its expectation is that of `ism`. The samples are noised first,
x̃ = x + σz, and s is compared with the score of the smoothed density q_σ.
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
    """Return the sliced score matching losses λ(σ) [vᵀ∇s v + ½(vᵀs)²], a mean over v, shape (N,).

    Args:
        score: what is trained.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        v: directions, (M, N, ...), of mean 0 and covariance I, any distribution: standard normal or
            Rademacher, say.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1.
    """
    _, curvature, along = sliced_terms(score, x, sigma, z, v)
    return apply_weighting((curvature + along.square() / 2).mean(0), sigma, weighting)
