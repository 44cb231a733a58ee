"""The terms of sliced score matching along random directions v: vᵀ ∇s v and vᵀs."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.score import Score, expand_sigma

__all__ = ["sliced_terms"]


def sliced_terms(
    score: Score, x: Tensor, sigma: Tensor, z: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return s(x̃), (N, D), and vᵀ∇s v and vᵀs, both (M, N), at x̃ = x + σz.

    This takes one forward pass, and one backward pass for each of the M directions to compute
    ∇(vᵀs) (Song et al. 2019, "Sliced score matching", eq. 7, https://arxiv.org/abs/1905.07088).

    Args:
        score: the network to train.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        v: directions with E vvᵀ = I, (M, N, ...).
    """
    noisy = (x + expand_sigma(sigma, x) * z).requires_grad_()
    output = score(noisy, sigma)
    along = (v * output).flatten(2).sum(2)
    slopes = [
        torch.autograd.grad(projected.sum(), noisy, create_graph=True)[0] for projected in along
    ]
    curvature = (v * torch.stack(slopes)).flatten(2).sum(2)
    return output.flatten(1), curvature, along
