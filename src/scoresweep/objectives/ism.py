"""Implicit score matching, λ(σ) E[tr ∇s + ½ ‖s‖²] (Hyvärinen 2005, theorem 1).

Integration by parts turns E sᵀ∇log q into −E tr ∇s, so that ½ E‖s − ∇log q‖² is known up to a
constant without knowing q. Noise is added to the samples first, x̃ = x + σz, so s is compared with
the score of the smoothed density q_σ. The trace takes one backward pass for each dimension;
batching them makes it cheaper (see `jacobian_trace`).
"""

from __future__ import annotations

from torch import Tensor

from scoresweep.objectives.jacobian_trace import MEMORY, trace_of_jacobian
from scoresweep.objectives.weighting import Weighting, apply_weighting
from scoresweep.score import Score, expand_sigma

__all__ = ["MAX_DIMENSION", "ism"]

MAX_DIMENSION = 4096
"""Maximum number of dimensions without `allow_large`, because larger data take very long."""


def ism(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    weighting: Weighting = "sigma2",
    data_std: float = 0.5,
    allow_large: bool = False,
    memory: int = MEMORY,
) -> Tensor:
    """Return the implicit score matching losses λ(σ) [tr ∇s + ½‖s‖²], shape (N,).

    Args:
        score: the network to train.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1, "edm" σ² (1 + σ²/s²).
        data_std: s.
        allow_large: allow more than `MAX_DIMENSION` dimensions.
        memory: bytes of gradients of one batch of backward passes.

    Raises:
        ValueError: if there are more dimensions without `allow_large`.
    """
    dimension = x[0].numel()
    if dimension > MAX_DIMENSION and not allow_large:
        raise ValueError(
            f"ism takes one backward pass for each dimension, found {dimension:,}; expected "
            f"{MAX_DIMENSION:,} or fewer, or allow_large"
        )
    noisy = (x + expand_sigma(sigma, x) * z).requires_grad_()
    output = score(noisy, sigma)
    square = output.flatten(1).square().sum(1)
    return apply_weighting(
        trace_of_jacobian(output, noisy, memory) + square / 2, sigma, weighting, data_std
    )
