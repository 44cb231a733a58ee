"""Implicit score matching, λ(σ) E[tr ∇s + ½ ‖s‖²] (Hyvärinen 2005, theorem 1).

Integration by parts turns E sᵀ∇log q into −E tr ∇s, so that ½ E‖s − ∇log q‖² is known up to a
constant without knowing q. The samples are noised first, x̃ = x + σz, and s is compared with the
score of the smoothed density q_σ. The trace takes a backward pass for each dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.objectives.weighting import Weighting, weigh
from scoresweep.score import Score, expand_sigma

__all__ = ["LARGE", "ism"]

LARGE = 4096
"""Dimensions above which the passes take so long that it is likely to be a mistake."""


def ism(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    weighting: Weighting = "sigma2",
    allow_large: bool = False,
) -> Tensor:
    """Return the implicit score matching losses λ(σ) [tr ∇s + ½‖s‖²], shape (N,).

    Args:
        score: what is trained.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1.
        allow_large: go on with more than 4,096 dimensions.

    Raises:
        ValueError: if there are more, and that is not allowed.
    """
    dimension = x[0].numel()
    if dimension > LARGE and not allow_large:
        raise ValueError(
            f"ism takes one backward pass for each of {dimension:,} dimensions; more than {LARGE:,}"
            f" need allow_large"
        )
    noisy = (x + expand_sigma(sigma, x) * z).requires_grad_()
    output = score(noisy, sigma).flatten(1)
    trace = torch.zeros_like(output[:, 0])
    for i in range(dimension):
        (row,) = torch.autograd.grad(output[:, i].sum(), noisy, create_graph=True)
        trace = trace + row.flatten(1)[:, i]
    return weigh(trace + output.square().sum(1) / 2, sigma, weighting)
