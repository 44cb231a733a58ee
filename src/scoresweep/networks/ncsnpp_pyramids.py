"""The pyramids of NCSN++: the image at every size as an input, and an output at every size.

"Skip" pyramids are images: on the way down a convolution of the image is added to the feature maps,
on the way up a convolution of the feature maps to the image. "Residual" pyramids have the width of
the feature maps, and the sum of both is the next feature maps (Karras et al. 2020, figure 7).
Each module takes and returns the feature maps (N, C, H, W) and the pyramid.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from scoresweep.networks.initial_weights import NEARLY_ZERO, initialised
from scoresweep.networks.ncsnpp_blocks import group_norm, rescaled_sum
from scoresweep.networks.resampling import Double, DoublingConv, Halve, HalvingConv

__all__ = [
    "FirstOutputResidual",
    "InputSkip",
    "NoPyramid",
    "OutputSkip",
    "ResidualPyramid",
]

State = tuple[Tensor, Tensor]
"""Feature maps and pyramid."""


class NoPyramid(nn.Module):
    """Changes neither."""

    def forward(self, h: Tensor, pyramid: Tensor) -> State:
        """Return the arguments."""
        return h, pyramid


class InputSkip(nn.Module):
    """Add the image, at the size of the feature maps, to them.

    Args:
        image_channels: channels of the pyramid, which is the image.
        channels: channels of the feature maps.
        fir: halve the image with the filter.
    """

    def __init__(self, image_channels: int, channels: int, *, fir: bool) -> None:
        super().__init__()
        self.resize = Halve(fir=fir)
        self.conv = initialised(nn.Conv2d(image_channels, channels, 1))

    def forward(self, h: Tensor, pyramid: Tensor) -> State:
        """Halve the pyramid and add it to the feature maps."""
        pyramid = self.resize(pyramid)
        return self.conv(pyramid) + h, pyramid


class ResidualPyramid(nn.Module):
    """Add a learned pyramid to the feature maps; the sum is also the next pyramid.

    Args:
        resize: changes the pyramid to the size and the channels of the feature maps.
        rescale: divide the sum by √2.
    """

    def __init__(self, resize: HalvingConv | DoublingConv, *, rescale: bool) -> None:
        super().__init__()
        self.rescale = rescale
        self.resize = resize

    def forward(self, h: Tensor, pyramid: Tensor) -> State:
        """Resize the pyramid and add the feature maps to it."""
        total = rescaled_sum(self.resize(pyramid), h, self.rescale)
        return total, total


class OutputSkip(nn.Module):
    """Add an image made of the feature maps to the pyramid, which is the output.

    Args:
        channels: channels of the feature maps.
        image_channels: channels of the pyramid.
        fir: double the pyramid with the filter.
        first: the pyramid begins here.
    """

    def __init__(self, channels: int, image_channels: int, *, fir: bool, first: bool) -> None:
        super().__init__()
        self.resize = None if first else Double(fir=fir)
        self.norm = group_norm(channels)
        self.conv = initialised(nn.Conv2d(channels, image_channels, 3, padding=1), NEARLY_ZERO)

    def forward(self, h: Tensor, pyramid: Tensor) -> State:
        """Double the pyramid, if there is one, and add the image to it."""
        image = self.conv(silu(self.norm(h)))
        return h, image if self.resize is None else self.resize(pyramid) + image


class FirstOutputResidual(nn.Module):
    """Begin the `ResidualPyramid` of the output with a convolution of the feature maps.

    Args:
        channels: channels of the feature maps and the pyramid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.conv = initialised(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, h: Tensor, _pyramid: Tensor) -> State:
        """Return the feature maps and a new pyramid."""
        return h, self.conv(silu(self.norm(h)))
