"""Embeddings of the noise level, as sines and cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierEmbedding", "positional_embedding"]


class FourierEmbedding(nn.Module):
    """Sines and cosines of 2πw log σ, with random frequencies w that are not trained.

    Args:
        size: number of frequencies.
        scale: standard deviation of the frequencies.
    """

    frequencies: Tensor

    def __init__(self, size: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(size))

    def forward(self, sigma: Tensor) -> Tensor:
        """Return the embedding of `sigma` (N,), (N, 2 · size)."""
        angle = 2 * math.pi * sigma.log()[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


def positional_embedding(index: Tensor, size: int) -> Tensor:
    """Return sines and cosines of `index` (N,), float32, (N, size).

    The frequencies fall geometrically from 1 to 1/10000 (Vaswani et al. 2017, as in DDPM).
    """
    half = size // 2
    order = torch.arange(half, dtype=torch.float32, device=index.device)
    angle = index.float()[:, None] * torch.exp(order * (-math.log(10_000) / max(half - 1, 1)))
    return nn.functional.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, size % 2))
