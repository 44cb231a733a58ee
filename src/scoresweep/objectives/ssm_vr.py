"""Sliced score matching with variance reduction, λ(σ) E[vᵀ ∇s v + ½ ‖s‖²].

Song et al. 2019, eq. 8. It is `ssm` with (vᵀs)² replaced by its expectation ‖s‖² for directions
with E vvᵀ = I.
"""

from __future__ import annotations

from torch import Tensor

from scoresweep.objectives.sliced_terms import sliced_terms
from scoresweep.objectives.weighting import Weighting, apply_weighting
from scoresweep.score import Score

__all__ = ["ssm_vr"]


def ssm_vr(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    v: Tensor,
    weighting: Weighting = "sigma2",
) -> Tensor:
    """Return the losses λ(σ) [vᵀ∇s v + ½‖s‖²], with the first term averaged over v, (N,).

    Args:
        score: the network to train.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        v: standard normal or Rademacher directions, (M, N, ...).
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1.
    """
    output, curvature, _ = sliced_terms(score, x, sigma, z, v)
    return apply_weighting(curvature.mean(0) + output.square().sum(1) / 2, sigma, weighting)
