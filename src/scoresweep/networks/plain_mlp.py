"""A standard multilayer perceptron on the flattened sample."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from scoresweep.networks.score_network import ScoreNetwork, to_symmetric_range
from scoresweep.score import expand_sigma

__all__ = ["PlainMLP"]

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh}


class PlainMLP(ScoreNetwork):
    """Linear layers with activations between them; the output of the last one is the score.

    The input is the flattened sample u (images in [−1, 1]). Objectives that differentiate the score
    (`ism`, `ssm`, `ssm_vr`) train better with a smooth activation: the derivative of "relu" is
    piecewise constant, so it has no second-order gradient.

    Args:
        shape: shape of one sample.
        sigmas: the ladder, (L,).
        hidden: number of units of each hidden layer.
        activation: "relu", "silu", "softplus" or "tanh".
        conditioning: use of σ. "input": σ is an additional input; "divide": the output is divided
            by σ; "none": σ is not used.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sigmas: Tensor,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        activation: Literal["relu", "silu", "softplus", "tanh"] = "softplus",
        conditioning: Literal["input", "divide", "none"] = "input",
    ) -> None:
        super().__init__(shape, sigmas)
        self.conditioning = conditioning
        dimension = math.prod(shape)
        widths = [dimension + (conditioning == "input"), *hidden, dimension]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, *shape) for the noise levels `sigma` (N,), as `x`."""
        u = to_symmetric_range(x).flatten(1)
        if self.conditioning == "input":
            u = torch.cat([u, sigma[:, None]], dim=1)
        output: Tensor = self.layers(u).reshape(x.shape).to(x.dtype)
        if self.conditioning == "divide":
            return output / expand_sigma(sigma, output)
        return output
