"""Asymmetry of the Jacobian of a score: how far it is from a gradient.

The Jacobian J of an exact score is a Hessian, ∇∇ log q_σ, and so symmetric; the Jacobian of a
network need not be. With random v of independent entries ±1 (Hutchinson 1990), for any matrix A,

    E‖Av‖² = ‖A‖²_F,   so that   E‖J − Jᵀ‖²_F = E‖Jv − Jᵀv‖²   and   E‖J‖²_F = ½ E(‖Jv‖² + ‖Jᵀv‖²),

where Jᵀv is one backward pass and Jv, the derivative of u ↦ Jᵀu, one more: J itself is not needed.

    asymmetry           E‖J − Jᵀ‖²_F             (4 times that of the antisymmetric part ½(J − Jᵀ))
    asymmetry_relative  E‖J − Jᵀ‖²_F / E‖J‖²_F   (0: symmetric, 2: independent entries,
                        4: antisymmetric)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from scoresweep.metrics.score_error import MeanEstimate, mean_of, ratio_of
from scoresweep.score import Score

__all__ = ["ASYMMETRY_NAMES", "asymmetry"]

ASYMMETRY_NAMES = {
    "asymmetry": "squared Frobenius norm of J − Jᵀ, where J is the Jacobian of the score",
    "asymmetry_relative": "the same relative to the squared norm of the Jacobian",
}


def asymmetry(
    score: Score,
    x: Tensor,
    sigma: float,
    probes: int,
    generator: torch.Generator,
    batch_size: int = 256,
) -> dict[str, MeanEstimate]:
    """Measure the asymmetry of the Jacobian of `score` at points `x` (N, ...).

    Args:
        score: the score to measure.
        x: points, for example noisy samples of the level.
        sigma: noise level, in units of the data.
        probes: number of random vectors v for each point.
        generator: source of the random vectors, on the CPU.
        batch_size: number of points of a batch.

    Returns:
        An estimate for each of `ASYMMETRY_NAMES`; its error comes from the scatter over points.
    """
    signs = torch.randint(0, 2, (probes, *x.shape), generator=generator).to(x) * 2 - 1
    rows = [
        torch.stack([_per_point(score, part, sigma, v) for v in probe]).mean(dim=0)
        for part, probe in zip(
            torch.split(x, batch_size), torch.split(signs, batch_size, 1), strict=True
        )
    ]
    difference, norm = torch.cat(rows).unbind(dim=1)
    return {"asymmetry": mean_of(difference), "asymmetry_relative": ratio_of(difference, norm)}


def _per_point(score: Score, x: Tensor, sigma: float, v: Tensor) -> Tensor:
    """Return ‖Jv − Jᵀv‖² and ½(‖Jv‖² + ‖Jᵀv‖²) at each point: (N, 2), float64."""
    sigmas = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
    # Fused attention has no second derivatives.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        x = x.detach().requires_grad_()
        value = score(x, sigmas)
        u = torch.zeros_like(value, requires_grad=True)
        (product,) = torch.autograd.grad(value, x, u, create_graph=True)
        (forward,) = torch.autograd.grad(product, u, v, retain_graph=True)
        (reverse,) = torch.autograd.grad(value, x, v)
    forward, reverse = (part.flatten(1).double() for part in (forward, reverse))
    norm = 0.5 * (forward.square() + reverse.square())
    return torch.stack([(forward - reverse).square().sum(dim=1), norm.sum(dim=1)], dim=1)
