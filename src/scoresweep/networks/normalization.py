"""InstanceNorm++ (Song and Ermon 2019, appendix A)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["InstanceNormPlus"]


class InstanceNormPlus(nn.Module):
    """Instance normalisation that preserves the relative means of the channels.

    γ·[(x − μ)/√(var + 1e-5) + α·(μ − m)/√(v + 1e-5)] + β, where μ and var are the mean and the
    biased variance of a channel over its pixels, m and v the mean and the unbiased variance of μ
    over channels, and α, γ, β are learned per channel, or per channel and noise level. Statistics
    are computed in float32 or wider.

    Args:
        channels: number of channels C of the input (N, C, H, W), 2 or more.
        levels: number of noise levels L with their own α, γ, β; None: all levels share one set.

    Raises:
        ValueError: if there is one channel only: v is then undefined.
    """

    def __init__(self, channels: int, levels: int | None = None) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"InstanceNormPlus needs 2 channels or more, found {channels}")
        size = (channels,) if levels is None else (levels, channels)
        self.alpha = nn.Parameter(torch.empty(size).normal_(1, 0.02))
        self.gamma = nn.Parameter(torch.empty(size).normal_(1, 0.02))
        self.beta = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Return the normalised `x`, (N, C, H, W), in its own dtype.

        `level` (N,) is the index of the level from 0, if levels have their own parameters.
        """
        mean, var = _PixelMoments.apply(x)  # type: ignore[no-untyped-call]
        v, m = torch.var_mean(mean, dim=1, keepdim=True)
        parameters = (self.gamma, self.alpha, self.beta)
        gamma, alpha, beta = (
            (p if level is None else p[level])[..., None, None] for p in parameters
        )
        scale = gamma * torch.rsqrt(var + 1e-5)
        shift = beta + gamma * alpha * (mean - m) * torch.rsqrt(v + 1e-5) - mean * scale
        return torch.addcmul(shift, x, scale).to(x.dtype)


class _PixelMoments(torch.autograd.Function):
    """Mean and biased variance over pixels, (N, C, 1, 1), in float32 or wider.

    In channels-last format, `torch.var_mean` over pixels is many times slower than two means, and
    autograd returns their gradients in another memory format. This function avoids both and can be
    differentiated twice.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        mean = x.mean((2, 3), keepdim=True, dtype=wide)
        return mean, (x - mean).square().mean((2, 3), keepdim=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[0])

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, grad_var: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        pixels = x.shape[2] * x.shape[3]
        slope = 2 / pixels * grad_var
        return torch.addcmul(grad_mean / pixels - slope * mean, x, slope).to(x.dtype)
