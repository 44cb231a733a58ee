"""Halve and double the size of feature maps, with the filter of NCSN++ or without.

The filter is (1, 3, 3, 1)/8 along each axis (Zhang 2019, https://arxiv.org/abs/1904.11486, as in
StyleGAN2); pixels outside the image are 0. Without it, halving averages 2×2 pixels, and doubling
repeats each pixel.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad

from scoresweep.networks.initial_weights import initialised

__all__ = ["Double", "DoublingConv", "Halve", "HalvingConv"]


class _Resampling(nn.Module):
    """Holds the filter.

    Args:
        fir: use the filter.
    """

    kernel: Tensor

    def __init__(self, *, fir: bool) -> None:
        super().__init__()
        self.fir = fir
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", taps.outer(taps)[None, None], persistent=False)

    def kernels(self, x: Tensor) -> Tensor:
        """Return the filter for each channel of `x` (N, C, H, W): (C, 1, 4, 4), of sum 1."""
        return self.kernel.expand(x.shape[1], -1, -1, -1)


class Halve(_Resampling):
    """Half the size of a feature map, whose height and width are even."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, C, H/2, W/2)."""
        if not self.fir:
            return avg_pool2d(x, 2)
        return conv2d(x, self.kernels(x), stride=2, padding=1, groups=x.shape[1])


class Double(_Resampling):
    """Twice the size of a feature map."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, C, 2H, 2W)."""
        if not self.fir:
            return interpolate(x, scale_factor=2.0, mode="nearest")
        return conv_transpose2d(x, 4 * self.kernels(x), stride=2, padding=1, groups=x.shape[1])


class _ResamplingConv(_Resampling):
    """Holds the filter and a 3×3 convolution.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        fir: use the filter.
    """

    stride: ClassVar[int] = 1
    padding: ClassVar[int] = 0

    def __init__(self, inputs: int, outputs: int, *, fir: bool) -> None:
        super().__init__(fir=fir)
        conv = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=self.padding)
        self.conv = initialised(conv)


class HalvingConv(_ResamplingConv):
    """A 3×3 convolution with stride 2, after the filter if `fir`.

    Without the filter, the image is padded at its lower and right edges only, as in DDPM.
    """

    stride = 2

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, inputs, H, W) to (N, outputs, H/2, W/2)."""
        if self.fir:
            x = conv2d(x, self.kernels(x), padding=2, groups=x.shape[1])
        else:
            x = pad(x, (0, 1, 0, 1))
        output: Tensor = self.conv(x)
        return output


class DoublingConv(_ResamplingConv):
    """A 3×3 convolution at twice the size, before the filter if `fir`.

    With the filter, zeros are inserted between the pixels; without it, each pixel is repeated.
    """

    padding = 1

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, inputs, H, W) to (N, outputs, 2H, 2W)."""
        if not self.fir:
            output: Tensor = self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))
            return output
        assert self.conv.bias is not None
        # A transposed convolution inserts the zeros; it applies the weights flipped.
        weight = self.conv.weight.flip(2, 3).transpose(0, 1)
        x = conv_transpose2d(x, weight, stride=2)
        x = conv2d(x, 4 * self.kernels(x), padding=1, groups=x.shape[1])
        return x + self.conv.bias[:, None, None]
