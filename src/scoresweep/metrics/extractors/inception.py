"""The Inception network of 5 December 2015, which defines FID and KID.

The network is Inception-v3 (Szegedy et al. 2015) of the TensorFlow file `inception-2015-12-05`,
with which Heusel et al. (2017, https://arxiv.org/abs/1706.08500) defined the Fréchet inception
distance. It differs from the paper in its pooling: average pooling excludes the padding, and the
last block has max pooling. Batch normalisation (epsilon 10⁻³, no scale) is part of the
convolutions' weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from scoresweep.metrics.extractors.extractor import Extractor, check_channels
from scoresweep.metrics.extractors.resize import RESIZES
from scoresweep.metrics.features import Features

__all__ = [
    "Inception",
    "InceptionAntialias",
    "InceptionHalfPixel",
    "InceptionLogits",
    "InceptionNetwork",
]

SIZE = 299
"""Side length of the images of the network's training, in pixels."""


class InceptionNetwork(nn.Module):
    """The network without its classifier; `forward` takes images (N, 3, 299, 299) in [-1, 1]."""

    def __init__(self) -> None:
        """Create it with random weights."""
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    *_convolution(3, 32, 3, stride=2),
                    *_convolution(32, 32, 3),
                    *_convolution(32, 64, 3, padding=1),
                    nn.MaxPool2d(3, 2),
                ),
                nn.Sequential(
                    *_convolution(64, 80, 1), *_convolution(80, 192, 3), nn.MaxPool2d(3, 2)
                ),
                nn.Sequential(
                    _block_35(192, 32),
                    _block_35(256, 64),
                    _block_35(288, 64),
                    _to_17(288),
                    _block_17(128),
                    _block_17(160),
                    _block_17(160),
                    _block_17(192),
                ),
                nn.Sequential(
                    _to_8(768),
                    _block_8(1280, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
                    _block_8(2048, nn.MaxPool2d(3, 1, 1)),
                ),
            ]
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor, stages: int = 4) -> Tensor:
        """Return the means over pixels, (N, D), after the first `stages` stages, 1 to 4.

        D is 64, 192 (after the first and the second max pool), 768 or 2048.
        """
        for stage in self.stages[:stages]:
            images = stage(images)
        return images.mean(dim=(2, 3))


class Inception(Extractor):
    """The 2,048 features of the FID, on images resized as TensorFlow 1 does."""

    name = "inception"
    resize = "tf1"
    needs_images = True
    weights = "inception"
    batch_size = 32

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        """Create it with random weights for images of `shape` (C, H, W).

        Raises:
            ValueError: if C is neither 1 nor 3.
        """
        super().__init__(shape, classes)
        check_channels(shape)
        self.network = InceptionNetwork()

    def forward(self, samples: Tensor) -> Features:
        """Return features (N, 2048) of images (N, C, H, W) in [0, 1]; grey images are repeated."""
        return Features(self.network(self.prepare(samples)))

    def prepare(self, samples: Tensor) -> Tensor:
        """Return images (N, C, H, W) in [0, 1], scaled and resized for the network."""
        scaled = (255 * samples - 128) / 128
        images = RESIZES[self.resize](scaled.expand(-1, 3, -1, -1), SIZE)
        return images.contiguous(memory_format=torch.channels_last)


class InceptionHalfPixel(Inception):
    """The features of `Inception` on images resized between pixel centres."""

    name = "inception_half_pixel"
    resize = "half_pixel"


class InceptionAntialias(Inception):
    """The features of `Inception` on images resized between pixel centres with antialiasing."""

    name = "inception_antialias"
    resize = "antialias"


class InceptionLogits(nn.Module):
    """The layer from features to classes, without its biases: `weight` is (1008, 2048)."""

    weights: ClassVar[str] = "inception_logits"
    """Name of its published weights."""

    def __init__(self) -> None:
        """Create it with weights of 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1008, 2048), requires_grad=False)


class Branches(nn.Module):
    """Parallel branches with concatenated maps."""

    def __init__(self, *branches: Iterable[nn.Module]) -> None:
        """Create it from the modules of each branch."""
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(*branch) for branch in branches])

    def forward(self, x: Tensor) -> Tensor:
        """Return the concatenated maps of all branches for `x` (N, C, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _convolution(
    maps: int,
    outputs: int,
    size: int | tuple[int, int],
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> list[nn.Module]:
    return [nn.Conv2d(maps, outputs, size, stride, padding), nn.ReLU(inplace=True)]


def _conv_1xn(maps: int, outputs: int, length: int) -> list[nn.Module]:
    """Return a convolution with a kernel of one row."""
    return _convolution(maps, outputs, (1, length), padding=(0, length // 2))


def _conv_nx1(maps: int, outputs: int, length: int) -> list[nn.Module]:
    """Return a convolution with a kernel of one column."""
    return _convolution(maps, outputs, (length, 1), padding=(length // 2, 0))


def _block_35(maps: int, pooled: int) -> Branches:
    """Return a block at 35×35 pixels."""
    return Branches(
        _convolution(maps, 64, 1),
        [*_convolution(maps, 48, 1), *_convolution(48, 64, 5, padding=2)],
        [
            *_convolution(maps, 64, 1),
            *_convolution(64, 96, 3, padding=1),
            *_convolution(96, 96, 3, padding=1),
        ],
        [nn.AvgPool2d(3, 1, 1, count_include_pad=False), *_convolution(maps, pooled, 1)],
    )


def _to_17(maps: int) -> Branches:
    """Return the block that goes from 35×35 to 17×17 pixels."""
    return Branches(
        _convolution(maps, 384, 3, stride=2),
        [
            *_convolution(maps, 64, 1),
            *_convolution(64, 96, 3, padding=1),
            *_convolution(96, 96, 3, stride=2),
        ],
        [nn.MaxPool2d(3, 2)],
    )


def _block_17(inner: int) -> Branches:
    """Return a block at 17×17 pixels, with `inner` maps inside."""
    return Branches(
        _convolution(768, 192, 1),
        [*_convolution(768, inner, 1), *_conv_1xn(inner, inner, 7), *_conv_nx1(inner, 192, 7)],
        [
            *_convolution(768, inner, 1),
            *_conv_nx1(inner, inner, 7),
            *_conv_1xn(inner, inner, 7),
            *_conv_nx1(inner, inner, 7),
            *_conv_1xn(inner, 192, 7),
        ],
        [nn.AvgPool2d(3, 1, 1, count_include_pad=False), *_convolution(768, 192, 1)],
    )


def _to_8(maps: int) -> Branches:
    """Return the block that goes from 17×17 to 8×8 pixels."""
    return Branches(
        [*_convolution(maps, 192, 1), *_convolution(192, 320, 3, stride=2)],
        [
            *_convolution(maps, 192, 1),
            *_conv_1xn(192, 192, 7),
            *_conv_nx1(192, 192, 7),
            *_convolution(192, 192, 3, stride=2),
        ],
        [nn.MaxPool2d(3, 2)],
    )


def _block_8(maps: int, pool: nn.Module) -> Branches:
    """Return a block at 8×8 pixels."""
    return Branches(
        _convolution(maps, 320, 1),
        [*_convolution(maps, 384, 1), Branches(_conv_1xn(384, 384, 3), _conv_nx1(384, 384, 3))],
        [
            *_convolution(maps, 448, 1),
            *_convolution(448, 384, 3, padding=1),
            Branches(_conv_1xn(384, 384, 3), _conv_nx1(384, 384, 3)),
        ],
        [pool, *_convolution(maps, 192, 1)],
    )
