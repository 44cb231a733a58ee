"""InstanceNorm++ (Song and Ermon 2019, appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["InstanceNormPlus"]


class InstanceNormPlus(nn.Module):
    """Instance normalisation that keeps how the means of the channels compare.

    γ·[(x − μ)/√(var + 1e-5) + α·(μ − m)/√(v + 1e-5)] + β, where μ and var are the mean and the
    biased variance of a channel over its pixels, m and v the mean and the unbiased variance of μ
    over channels, and α, γ, β are learned per channel.

    Args:
        channels: number of channels C of the input (N, C, H, W), 2 or more.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels).normal_(1, 0.02))
        self.gamma = nn.Parameter(torch.empty(channels).normal_(1, 0.02))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised `x`, (N, C, H, W), in its own precision."""
        wide = torch.promote_types(x.dtype, torch.float32)
        # Two passes with `mean`: `var_mean` over the pixels is many times slower in channels-last.
        mean = x.mean((2, 3), keepdim=True, dtype=wide)
        centred = x - mean
        var = centred.square().mean((2, 3), keepdim=True)
        v, m = torch.var_mean(mean, dim=1, keepdim=True)
        gamma, alpha, beta = (p[:, None, None] for p in (self.gamma, self.alpha, self.beta))
        scale = gamma * torch.rsqrt(var + 1e-5)
        shift = beta + gamma * alpha * (mean - m) * torch.rsqrt(v + 1e-5)
        return torch.addcmul(shift, centred, scale).to(x.dtype)
