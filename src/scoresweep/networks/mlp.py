"""A residual multilayer perceptron on the flattened sample."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from scoresweep.networks.base import ScoreNetwork, centre
from scoresweep.score import expand_sigma

__all__ = ["MLP"]


class MLP(ScoreNetwork):
    """Residual MLP: linear, `blocks` pre-activation blocks h + W₂ silu(W₁ silu(norm h)), linear.

    Args:
        shape: shape of one sample.
        sigmas: the ladder, (L,).
        width: units of a hidden layer.
        blocks: residual blocks.
        conditioning: how σ enters. "divide": the output is divided by σ; "input": log σ is an input
            as well and the output is divided by σ; "none": not at all.
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
        self.first = nn.Linear(dimension + (conditioning == "input"), width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.last = nn.Linear(width, dimension)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, *shape) for the noise levels `sigma` (N,), as `x`."""
        h = centre(x).flatten(1)
        if self.conditioning == "input":
            h = torch.cat([h, sigma.log()[:, None]], dim=1)
        h = self.first(h)
        for block in self.blocks:
            h = block(h)
        output: Tensor = self.last(nn.functional.silu(h)).reshape(x.shape)
        if self.conditioning == "none":
            return output.to(x.dtype)
        return output / expand_sigma(sigma, output)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.inner(nn.functional.silu(self.norm(h)))
        outer: Tensor = self.outer(nn.functional.silu(inner))
        return h + outer
