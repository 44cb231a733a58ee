"""Methods of resizing images, by name.

The choice affects metrics more than most samplers do.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["RESIZES", "antialias", "half_pixel", "tf1"]


def tf1(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size) as `resize_bilinear` of TensorFlow 1 does.

    It is bilinear; pixel i of the result is at i · H / size of the image. Other programs use
    (i + ½) · H / size − ½, so this result is shifted by up to half a pixel of the image. The
    original FID code resizes in this way.
    """
    return _lerp(_lerp(images, size, 3), size, 2)


def half_pixel(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear between the centres of pixels.

    Each pixel of the result is interpolated from two pixels a side, so pixels between them are
    skipped if the result is smaller. `pytorch-fid` resizes in this way.
    """
    return interpolate(images, (size, size), mode="bilinear", align_corners=False)


def antialias(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear, as Pillow but without rounding.

    If the result is smaller, pixels are weighted by a triangle filter as wide as two pixels of the
    result (Parmar et al. 2022 recommend such a filter, and use a bicubic one). If it is larger,
    this is `half_pixel`. It is the default of torchmetrics.
    """
    return interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def _lerp(images: Tensor, size: int, dim: int) -> Tensor:
    """Resize dimension `dim` as TensorFlow 1 does, with float32 positions."""
    length = images.shape[dim]
    position = torch.arange(size, device=images.device) * torch.tensor(length / size)
    low = position.long()
    high = (low + 1).clamp(max=length - 1)
    fraction = (position - low).reshape([-1 if d == dim else 1 for d in range(4)])
    return images.index_select(dim, low).lerp_(images.index_select(dim, high), fraction)


RESIZES = {"tf1": tf1, "half_pixel": half_pixel, "antialias": antialias}
"""All methods, by the name that is recorded."""
