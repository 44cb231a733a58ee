"""The score network of NCSN (Song and Ermon 2019, appendix A): a conditional RefineNet."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.networks.level_index import level_index
from scoresweep.networks.refinenet import RefineNet
from scoresweep.score import expand_sigma

__all__ = ["NCSN"]


class NCSN(RefineNet):
    """RefineNet in which each InstanceNorm++ has one (α, γ, β) for each level of the ladder.

    The body is that of `NCSNv2`, with norms inside the refine blocks too and average pooling in the
    chained pooling. The output is the score itself. Only the levels of its ladder are valid σ. With
    10 levels it has 30.12 million parameters at C = 128 on 3×32×32 images (CIFAR-10) and 7.64
    million at C = 64 on 1×28×28 (MNIST).

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: C, number of feature maps of the first stage; the others have 2C.

    Raises:
        ValueError: if `shape` is not (C, H, W), or the image is too small for the stages.
    """

    def __init__(self, shape: tuple[int, ...], sigmas: Tensor, *, channels: int = 128) -> None:
        super().__init__(shape, sigmas, channels, levels=len(sigmas))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, C, H, W) for the noise levels `sigma` (N,), as `x`.

        Raises:
            ValueError: if a `sigma` is not a level of the ladder. On a GPU its score is NaN
                instead, because raising an error would synchronise with the device at each step.
        """
        level, unknown = level_index(sigma, self.sigmas, "ncsn")
        score = self.features(x, level).to(x.dtype)
        return score.masked_fill(expand_sigma(unknown, score), torch.nan)
