"""A score U-Net with attention, after DDPM (Ho et al. 2020) and NCSN++ (Song et al. 2021).

Its preconditioning is that of Karras et al. (2022, see `preconditioning`). F is initialised to
zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu

from scoresweep.networks.attention import dot_product_attention
from scoresweep.networks.preconditioning import preconditioned_input, preconditioned_score
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.score import expand_sigma

__all__ = ["UNet"]


class UNet(ScoreNetwork):
    """U-Net of residual blocks conditioned on log σ, with self-attention at small sizes.

    On the way down there are `blocks` residual blocks for each stage, then the size is halved. The
    middle is block, attention, block. On the way up there are `blocks` + 1 blocks for each stage,
    each of which also takes one of the maps from the way down.

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: number of feature maps of the first stage.
        multipliers: number of feature maps of each stage, relative to `channels`; each stage after
            the first works at half the size of the stage before.
        blocks: number of residual blocks of a stage on the way down.
        attention: sizes, in pixels of the longer side, at which self-attention follows each block;
            the middle always has it.
        data_std: s of the preconditioning.

    Raises:
        ValueError: if `shape` is not (C, H, W), or the image is too small for the stages.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sigmas: Tensor,
        *,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (16,),
        data_std: float = 0.5,
    ) -> None:
        super().__init__(shape, sigmas)
        self.data_std = data_std
        if len(shape) != 3:
            raise ValueError(f"unet needs images of shape (C, H, W), found samples of {shape}")
        smallest = 2 ** (len(multipliers) - 1)
        if min(shape[1:]) < smallest:
            raise ValueError(
                f"unet needs images of {smallest}×{smallest} pixels or more for {len(multipliers)} "
                f"stages, found {shape[2]}×{shape[1]}; use larger images or fewer multipliers"
            )
        size, wide = max(shape[1:]), 4 * channels
        self.embed = nn.Sequential(
            _LogSigma(channels), nn.Linear(channels, wide), nn.SiLU(), nn.Linear(wide, wide)
        )
        self.first = nn.Conv2d(shape[0], channels, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = channels, [channels]
        for stage, multiplier in enumerate(multipliers):
            attend = size // 2**stage in attention
            for _ in range(blocks):
                self.down.append(_Block(width, channels * multiplier, wide, attend))
                width = channels * multiplier
                skips.append(width)
            if stage < len(multipliers) - 1:
                self.down.append(_Downsample())
                skips.append(width)
        self.middle = nn.ModuleList(
            [_Block(width, width, wide, True), _Block(width, width, wide, False)]
        )
        for stage, multiplier in reversed(list(enumerate(multipliers))):
            attend = size // 2**stage in attention
            for _ in range(blocks + 1):
                self.up.append(_Block(width + skips.pop(), channels * multiplier, wide, attend))
                width = channels * multiplier
        self.norm = _norm(width)
        self.last = _zero_init(nn.Conv2d(width, shape[0], 3, padding=1))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, C, H, W) for the noise levels `sigma` (N,), as `x`."""
        spread, std = expand_sigma(sigma, x), self.data_std
        u, size = preconditioned_input(x, spread, std)
        return preconditioned_score(self._features(u, self.embed(sigma)), u, size, spread, std)

    def _features(self, u: Tensor, embedding: Tensor) -> Tensor:
        """Return F (N, C, H, W) for the scaled images `u` (N, C, H, W)."""
        h = self.first(u)
        maps = [h]
        for part in self.down:
            h = part(h, embedding)
            maps.append(h)
        for part in self.middle:
            h = part(h, embedding)
        for part in self.up:
            skip = maps.pop()
            if h.shape[2:] != skip.shape[2:]:
                h = interpolate(h, size=skip.shape[2:], mode="nearest")
            h = part(torch.cat([h, skip], dim=1), embedding)
        output: Tensor = self.last(silu(self.norm(h)))
        return output


class _LogSigma(nn.Module):
    """Sines and cosines of log σ, at frequencies from 1/16 to 16."""

    frequencies: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        frequencies = torch.logspace(-4, 4, (features + 1) // 2, base=2)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.features = features

    def forward(self, sigma: Tensor) -> Tensor:
        """Return the embedding of `sigma` (N,), (N, features)."""
        angle = sigma.log()[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)[:, : self.features]


class _Block(nn.Module):
    """Two times GroupNorm, SiLU, conv, with the embedding between; shortcut; attention, if any."""

    def __init__(self, inputs: int, outputs: int, embedding: int, attend: bool) -> None:
        super().__init__()
        self.norm1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.level = nn.Linear(embedding, outputs)
        self.norm2 = _norm(outputs)
        self.conv2 = _zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.attention = _Attention(outputs) if attend else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map `x` (N, inputs, H, W) to (N, outputs, H, W), given the `embedding` of σ (N, E)."""
        h: Tensor = self.conv1(silu(self.norm1(x)))
        h = h + self.level(silu(embedding))[:, :, None, None]
        h = self.conv2(silu(self.norm2(h)))
        output: Tensor = self.attention(h + self.shortcut(x))
        return output


class _Attention(nn.Module):
    """Self-attention with one head over pixels, plus its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = _zero_init(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the result for `x` (N, channels, H, W), of the same shape."""
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(pixels).chunk(3, dim=2)
        h: Tensor = self.out(dot_product_attention(q, k, v))
        return x + h.transpose(1, 2).reshape(x.shape)


class _Downsample(nn.Module):
    """2×2 average pooling."""

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, C, H/2, W/2), rounded down."""
        return avg_pool2d(x, 2)


def _norm(channels: int) -> nn.GroupNorm:
    """Return GroupNorm with at least 4 channels per group and at most 32 groups."""
    return nn.GroupNorm(math.gcd(32, channels // 4, channels), channels)


def _zero_init(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Return `layer` with zero weights, so that its branch starts as zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
