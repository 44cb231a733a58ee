"""Attention between the pixels of a feature map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["dot_product_attention"]


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(QKᵀ/√C) V for Q, K and V (N, pixels, C), with one head, as `value`.

    It is written out because torch's fused attention cannot be differentiated twice, as the
    implicit objectives require.
    """
    logits = query @ key.transpose(1, 2) / math.sqrt(query.shape[2])
    return torch.softmax(logits, dim=2).to(value.dtype) @ value
