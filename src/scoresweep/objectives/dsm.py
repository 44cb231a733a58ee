"""Denoising score matching, ½ λ(σ) E‖s(x + σz, σ) + z/σ‖² (Vincent 2011; Song and Ermon 2019).

At small σ the loss is nearly all noise: with x̃ = x + σz,

    ½‖s(x̃) + z/σ‖² = ½‖s(x̃)‖² + zᵀs(x̃)/σ + ‖z‖²/(2σ²),

whose variance grows as σ⁻⁴; the variance of its gradient grows as σ⁻² through zᵀs(x̃)/σ. The control
variate c = zᵀs(x)/σ + (‖z‖² − D)/(2σ²) has mean 0, because z is independent of x. Subtracting it
changes the expectation of neither the loss nor its gradient:

    ½‖s(x̃) + z/σ‖² − c = ½‖s(x̃)‖² + zᵀ(s(x̃) − s(x))/σ + D/(2σ²).

The last term is constant, and (s(x̃) − s(x))/σ → ∇s(x) z as σ → 0. The rest tends to ½‖s‖² + zᵀ∇s z,
sliced score matching with variance reduction, so its variance stays bounded. At large σ, c is
unrelated to the loss and adds noise. (Song and Kingma 2021, "How to train your energy-based
models", https://arxiv.org/abs/2101.03288, after Wang et al. 2020,
https://arxiv.org/abs/2002.07501.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.objectives.weighting import Weighting, apply_weighting
from scoresweep.score import Score, expand_sigma

__all__ = ["dsm"]


def dsm(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    weighting: Weighting = "sigma2",
    data_std: float = 0.5,
    control_variate: bool = False,
) -> Tensor:
    """Return the denoising score matching losses ½ λ(σ) ‖s(x + σz, σ) + z/σ‖², shape (N,).

    Vincent (2011); Song and Ermon (2019), eq. 5. The squared norm is a sum over dimensions. It is
    computed as ½ λ(σ)/σ² ‖σs + z‖², where the squared norm is of order D at every level.

    Args:
        score: the network to train.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1, "edm" σ² (1 + σ²/s²).
        data_std: s.
        control_variate: subtract a term of mean 0 that has most of the variance at small σ (see
            above). It needs the score at the clean samples too. It divides a difference of scores
            by σ, so rounding errors dominate at very small σ.
    """
    scale = expand_sigma(sigma, x)
    noisy = x + scale * z
    if not control_variate:
        residual = scale * score(noisy, sigma) + z
        losses = residual.flatten(1).square().sum(1) / 2
    else:
        # One call, because DistributedDataParallel expects one before each backward pass.
        at_noisy, at_clean = score(torch.cat([noisy, x]), sigma.repeat(2)).chunk(2)
        square = (scale * at_noisy).square() / 2 + scale * z * (at_noisy - at_clean)
        losses = square.flatten(1).sum(1) + x[0].numel() / 2
    return apply_weighting(losses, sigma, weighting, data_std, divided_by_power=2)
