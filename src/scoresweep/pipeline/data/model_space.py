"""From stored values to what networks see: x = (value − lo) / (hi − lo), images in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_model_space"]


def to_model_space(values: Tensor, pixel_range: tuple[float, float] | None) -> Tensor:
    """Return float32 samples in model space.

    Images, `values` of shape (N, H, W, C) with a `pixel_range`, become (N, C, H, W) in [0, 1]. The
    layout in memory stays as it is, which is what torch calls channels-last: nothing is copied but
    the conversion itself. Points (N, D), without a pixel range, stay as they are.
    """
    if pixel_range is None:
        return values.to(torch.float32)
    low, high = pixel_range
    return values.permute(0, 3, 1, 2).to(torch.float32).sub_(low).div_(high - low)
