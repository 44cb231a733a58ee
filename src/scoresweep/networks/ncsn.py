"""The score network of NCSN (Song and Ermon 2019, appendix A): a conditional RefineNet."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.networks.refinenet import RefineNet
from scoresweep.score import expand_sigma

__all__ = ["NCSN"]

SIGMA_RTOL = 1e-6
"""Relative difference within which a σ is a level of the ladder: a few roundings of float32."""


class NCSN(RefineNet):
    """RefineNet whose every InstanceNorm++ has one (α, γ, β) for each level of the ladder.

    The body is that of `NCSNv2` with norms inside the refine blocks too and means in the chained
    pooling; the output is the score itself. It knows the levels of its ladder and no other σ. With
    10 levels it has 30.12 million parameters at C = 128 on 3×32×32 images (CIFAR-10) and 7.64
    million at C = 64 on 1×28×28 (MNIST).

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: feature maps of the first stage; the others have twice as many.

    Raises:
        ValueError: if `shape` is not that of an image, or has too few pixels for so many stages.
    """

    def __init__(self, shape: tuple[int, ...], sigmas: Tensor, *, channels: int = 128) -> None:
        super().__init__(shape, sigmas, channels, levels=len(sigmas))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, C, H, W) for the noise levels `sigma` (N,), as `x`.

        Raises:
            ValueError: if a `sigma` is none of the levels that the network is trained on. On a GPU
                its score is NaN instead: an error would have to wait for the device at each step.
        """
        level, unknown = self._nearest(sigma)
        if sigma.device.type == "cpu" and bool(unknown.any()):
            raise ValueError(self._unknown_level(float(sigma[unknown][0]), int(level[unknown][0])))
        score = self.features(x, level).to(x.dtype)
        return score.masked_fill(expand_sigma(unknown, score), torch.nan)

    def _nearest(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the index of the level nearest to each σ, and which σ is not that level; (N,)."""
        distance = (sigma[:, None].float() / self.sigmas.float() - 1).abs()
        nearest, level = distance.min(dim=1)
        return level, nearest > SIGMA_RTOL

    def _unknown_level(self, sigma: float, level: int) -> str:
        return (
            f"ncsn has no embedding for sigma {sigma:.7g}: the nearest of its {len(self.sigmas)} "
            f"levels is level {level + 1}, sigma {float(self.sigmas[level]):.7g}; use the ladder "
            f"that it was trained on"
        )
