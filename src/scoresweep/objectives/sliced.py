"""Sliced score matching, with and without variance reduction (Song et al. 2019, eq. 7 and 8).

    ssm      λ(σ) E[vᵀ ∇s v + ½ (vᵀs)²]
    ssm_vr   λ(σ) E[vᵀ ∇s v + ½ ‖s‖²]

For directions with E vvᵀ = I both have the expectation of `ism`; `ssm_vr` replaces (vᵀs)² by its
expectation ‖s‖². Noise is added to the samples first, x̃ = x + σz, so s is compared with the score
of the smoothed density q_σ. ("Sliced score matching", https://arxiv.org/abs/1905.07088)
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.objectives.weighting import Weighting, apply_weighting
from scoresweep.score import Score, expand_sigma

__all__ = ["ssm", "ssm_vr"]


def ssm(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    v: Tensor,
    weighting: Weighting = "sigma2",
    data_std: float = 0.5,
) -> Tensor:
    """Return the sliced score matching losses λ(σ) [vᵀ∇s v + ½(vᵀs)²], averaged over v, (N,).

    Args:
        score: the network to train.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        v: random directions, (M, N, ...), with mean 0 and covariance I, for example standard normal
            or Rademacher.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1, "edm" σ² (1 + σ²/s²).
        data_std: s.
    """
    _, curvature, along = _sliced_terms(score, x, sigma, z, v)
    return apply_weighting((curvature + along.square() / 2).mean(0), sigma, weighting, data_std)


def ssm_vr(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    v: Tensor,
    weighting: Weighting = "sigma2",
    data_std: float = 0.5,
) -> Tensor:
    """Return the losses λ(σ) [vᵀ∇s v + ½‖s‖²], with the first term averaged over v, (N,).

    The arguments are those of `ssm`.
    """
    output, curvature, _ = _sliced_terms(score, x, sigma, z, v)
    return apply_weighting(
        curvature.mean(0) + output.square().sum(1) / 2, sigma, weighting, data_std
    )


def _sliced_terms(
    score: Score, x: Tensor, sigma: Tensor, z: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return s(x̃), (N, D), and vᵀ∇s v and vᵀs, both (M, N), at x̃ = x + σz.

    This takes one forward pass, and one backward pass for each of the M directions: ∇(vᵀs).
    """
    noisy = (x + expand_sigma(sigma, x) * z).requires_grad_()
    output = score(noisy, sigma)
    along = (v * output).flatten(2).sum(2)
    slopes = [
        torch.autograd.grad(projected.sum(), noisy, create_graph=True)[0] for projected in along
    ]
    curvature = (v * torch.stack(slopes)).flatten(2).sum(2)
    return output.flatten(1), curvature, along
