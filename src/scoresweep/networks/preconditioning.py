"""The preconditioning of Karras et al. (2022, https://arxiv.org/abs/2206.00364, table 1).

With the mean m = ½ of pixels in [0, 1] and their standard deviation s, and a network F:

    ∇ₓ log q_σ(x) = −(x − m)/(σ² + s²) + s/√(σ² + s²) · F((x − m)/√(σ² + s²), log σ)/σ

The input and the target of F have unit size at every σ, and F = 0 gives the exact score of N(m, s²)
smoothed by noise. The paper gives F ¼ log σ in place of log σ: random Fourier features with the
scale 16 there are `fourier_scale: 4` here.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["preconditioned_input", "preconditioned_score"]

MEAN = 0.5
"""m."""


def preconditioned_input(x: Tensor, spread: Tensor, data_std: float) -> tuple[Tensor, Tensor]:
    """Return u = (x − m)/√(σ² + s²) and the root, for images `x` and σ in `spread` (N, 1, 1, 1)."""
    size = (spread.square() + data_std**2).sqrt()
    return (x - MEAN) / size, size


def preconditioned_score(
    output: Tensor, u: Tensor, size: Tensor, spread: Tensor, data_std: float
) -> Tensor:
    """Return the score for the `output` of F at `u`; the other arguments are as above."""
    learned: Tensor = data_std / spread * output
    return (learned - u) / size
