"""A residual multilayer perceptron on the flattened sample."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scoresweep.networks.score_network import ScoreNetwork, to_symmetric_range
from scoresweep.score import expand_sigma

__all__ = ["MLP"]


class MLP(ScoreNetwork):
    """Residual MLP F whose input is scaled to unit size, with a linear path from input to output.

    With u the flattened sample (images in [−1, 1]) and r = √(1 + |u|²/D), the score is
    (F(u/r, log r) − u/r)/σ. At large σ, u/r is nearly the noise z, so F has only the rest of
    σs = −z to learn, and its input has the same size at every level.

    F is linear, `blocks` pre-activation blocks h + W₂ silu(W₁ silu(LayerNorm h)), silu, linear.

    Args:
        shape: shape of one sample.
        sigmas: the ladder, (L,).
        width: number of units of a hidden layer.
        blocks: number of residual blocks.
        conditioning: use of σ. "divide": the output is divided by σ; "input": in addition, log σ is
            an input of F; "none": σ is not used.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sigmas: Tensor,
        *,
        width: int = 512,
        blocks: int = 4,
        conditioning: Literal["divide", "input", "none"] = "divide",
    ) -> None:
        super().__init__(shape, sigmas)
        self.conditioning = conditioning
        dimension = math.prod(shape)
        self.first = nn.Linear(dimension + (2 if conditioning == "input" else 1), width)
        self.blocks = nn.Sequential(*[_Block(width) for _ in range(blocks)])
        self.last = nn.Linear(width, dimension)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, *shape) for the noise levels `sigma` (N,), as `x`."""
        u = to_symmetric_range(x).flatten(1)
        r = (1 + u.square().mean(1, keepdim=True)).sqrt()
        inputs = [u / r, r.log()]
        if self.conditioning == "input":
            inputs.append(sigma.log()[:, None])
        h = self.blocks(self.first(torch.cat(inputs, dim=1)))
        output: Tensor = (self.last(silu(h)) - u / r).reshape(x.shape)
        if self.conditioning == "none":
            return output
        return output / expand_sigma(sigma, output)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        update: Tensor = self.outer(silu(self.inner(silu(self.norm(h)))))
        return h + update
