"""Ways to resize images: they differ by more than most samplers do, so each has a name."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["RESIZES", "antialias", "half_pixel", "tf1"]


def tf1(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size) as `resize_bilinear` of TensorFlow 1 does.

    Bilinear; pixel i of the result lies at i · H / size of the image, where other programs put it
    at (i + ½) · H / size - ½: the result is shifted by up to half a pixel of the image. Published
    FIDs are made in this way.
    """
    return _lerp(_lerp(images, size, 3), size, 2)


def half_pixel(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear between the centres of pixels.

    Two pixels a side make one, also where the result is smaller: then pixels in between are
    dropped. `pytorch-fid` does so.
    """
    return interpolate(images, (size, size), mode="bilinear", align_corners=False)


def antialias(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear, as Pillow does but not rounded.

    Where the result is smaller, a triangle as wide as two of its pixels weighs all pixels below
    (Parmar et al. 2022 ask for such a filter, and use a bicubic one); where it is larger, this is
    `half_pixel`. torchmetrics does so by default.
    """
    return interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def _lerp(images: Tensor, size: int, dim: int) -> Tensor:
    """Resize one dimension as TensorFlow 1 does, positions in float32 as there."""
    length = images.shape[dim]
    position = torch.arange(size, device=images.device) * torch.tensor(length / size)
    low = position.long()
    high = (low + 1).clamp(max=length - 1)
    fraction = (position - low).reshape([-1 if d == dim else 1 for d in range(4)])
    return images.index_select(dim, low).lerp_(images.index_select(dim, high), fraction)


RESIZES = {"tf1": tf1, "half_pixel": half_pixel, "antialias": antialias}
"""Every way to resize, by the name under which it is recorded."""
