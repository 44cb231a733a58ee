"""Blocks of NCSN++ (Song et al. 2021, appendix H): residual blocks of two kinds, and attention."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.functional import silu

from scoresweep.networks.attention import dot_product_attention
from scoresweep.networks.dropout import SampleDropout
from scoresweep.networks.initial_weights import NEARLY_ZERO, initialised
from scoresweep.networks.resampling import Double, Halve

__all__ = ["Attention", "BlockType", "Condition", "ResidualBlock", "group_norm", "rescaled_sum"]

BlockType = Literal["biggan", "ddpm"]


class Condition(NamedTuple):
    """What the blocks need beside the feature maps."""

    embedding: Tensor
    """Embedding of σ, after its activation, (N, E)."""
    keys: Tensor | None
    """Keys of the samples for dropout, (N,); None: no dropout."""


class ResidualBlock(nn.Module):
    """Norm, SiLU, conv, plus the embedding, norm, SiLU, dropout, conv; plus the shortcut.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        embedding: size of the embedding of σ.
        resample: what changes the size, after the first activation and in the shortcut; None:
            nothing. The shortcut then has a convolution, as if the channels changed.
        dropout: dropout before the second convolution.
        rescale: divide the sum by √2.
        block_type: "biggan" or "ddpm", which begin with other weights in the shortcut.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        resample: Halve | Double | None,
        dropout: SampleDropout,
        rescale: bool,
        block_type: BlockType,
    ) -> None:
        super().__init__()
        self.rescale, self.block_type = rescale, block_type
        self.resample = resample or nn.Identity()
        self.norm1 = group_norm(inputs)
        self.conv1 = initialised(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.level = initialised(nn.Linear(embedding, outputs))
        self.norm2 = group_norm(outputs)
        self.dropout = dropout
        self.conv2 = initialised(nn.Conv2d(outputs, outputs, 3, padding=1), NEARLY_ZERO)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or resample is not None:
            scale = 0.1 if block_type == "ddpm" else 1.0
            self.shortcut = initialised(nn.Conv2d(inputs, outputs, 1), scale)

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """Map `x` (N, inputs, H, W) to (N, outputs, H, W), or to the size of `resample`."""
        h: Tensor = self.conv1(self.resample(silu(self.norm1(x))))
        h = h + self.level(condition.embedding)[:, :, None, None]
        h = self.conv2(self.dropout(silu(self.norm2(h)), condition.keys))
        return rescaled_sum(self.shortcut(self.resample(x)), h, self.rescale)


class Attention(nn.Module):
    """Self-attention with one head over pixels, plus its input.

    Args:
        channels: channels of the input and the output.
        rescale: divide the sum by √2.
    """

    def __init__(self, channels: int, *, rescale: bool) -> None:
        super().__init__()
        self.rescale = rescale
        self.norm = group_norm(channels)
        self.query = initialised(nn.Linear(channels, channels), 0.1)
        self.key = initialised(nn.Linear(channels, channels), 0.1)
        self.value = initialised(nn.Linear(channels, channels), 0.1)
        self.out = initialised(nn.Linear(channels, channels), NEARLY_ZERO)

    def forward(self, x: Tensor) -> Tensor:
        """Return the result for `x` (N, channels, H, W), of the same shape."""
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.query(pixels), self.key(pixels), self.value(pixels)
        h: Tensor = self.out(dot_product_attention(q, k, v))
        return rescaled_sum(x, h.transpose(1, 2).reshape(x.shape), self.rescale)


def rescaled_sum(a: Tensor, b: Tensor, rescale: bool) -> Tensor:
    """Return a + b, divided by √2 if `rescale`, which keeps the variance."""
    return (a + b) / math.sqrt(2) if rescale else a + b


def group_norm(channels: int) -> nn.GroupNorm:
    """Return GroupNorm with at most 32 groups, of 4 channels or more."""
    largest = max(1, min(channels // 4, 32))
    groups = next(n for n in range(largest, 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)
