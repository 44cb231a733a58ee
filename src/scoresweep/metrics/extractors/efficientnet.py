"""EfficientNet-Lite0: a small ImageNet network, many times faster than Inception.

The network of Tan and Le (2019) in its "Lite" form of 2020, without squeeze-and-excitation and with
ReLU6. Batch normalisation (epsilon 10⁻³) is part of the convolutions' weights. Distances in its
features are not FIDs, and cannot be compared with published values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoresweep.metrics.extractors.extractor import Extractor, check_channels
from scoresweep.metrics.extractors.resize import antialias
from scoresweep.metrics.features import Features

__all__ = ["EfficientNetLite0", "EfficientNetLite0Network"]

SIZE = 96
"""Side length, in pixels. The network was trained on 224, which takes five times as long; on 64 or
fewer, its features separate classes less well."""

STAGES = (
    # blocks, kernel, stride of the first, expansion, maps
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0Network(nn.Sequential):
    """The network without its classifier: images (N, 3, H, W) in [-1, 1] to features (N, 1280).

    H and W are multiples of 32.
    """

    def __init__(self) -> None:
        """Create it with random weights."""
        modules, maps = _convolution(3, 32, 3, stride=2), 32
        for count, kernel, stride, expansion, outputs in STAGES:
            for block in range(count):
                modules.append(
                    _Block(maps, outputs, kernel, stride if block == 0 else 1, expansion)
                )
                maps = outputs
        super().__init__(*modules, *_convolution(maps, 1280, 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Return the means over pixels, (N, 1280)."""
        maps: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return maps.mean(dim=(2, 3))


class EfficientNetLite0(Extractor):
    """The 1,280 features of EfficientNet-Lite0, on images resized to 96×96."""

    name = "efficientnet_lite0"
    resize = "antialias to 96×96"
    needs_images = True
    weights = "efficientnet_lite0"
    batch_size = 128

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        """Create it with random weights for images of `shape` (C, H, W).

        Raises:
            ValueError: if C is neither 1 nor 3.
        """
        super().__init__(shape, classes)
        check_channels(shape)
        self.network = EfficientNetLite0Network()

    def forward(self, samples: Tensor) -> Features:
        """Return features (N, 1280) of images (N, C, H, W) in [0, 1]; grey images are repeated."""
        scaled = (255 * samples - 127) / 128
        images = antialias(scaled.expand(-1, 3, -1, -1), SIZE)
        return Features(self.network(images.contiguous(memory_format=torch.channels_last)))


class _Block(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(self, maps: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = maps * expansion
        expand = _convolution(maps, inner, 1) if expansion > 1 else []
        depthwise = _convolution(inner, inner, kernel, stride, groups=inner)
        self.body = nn.Sequential(*expand, *depthwise, nn.Conv2d(inner, outputs, 1))
        self.is_residual = stride == 1 and maps == outputs

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.body(x)
        return x + changed if self.is_residual else changed


def _convolution(
    maps: int, outputs: int, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution with the padding of TensorFlow, for images of even size, and ReLU6."""
    if stride == 1:
        convolution = nn.Conv2d(maps, outputs, size, padding=size // 2, groups=groups)
        return [convolution, nn.ReLU6(inplace=True)]
    before, after = (size - 2) // 2, size // 2
    pad = nn.ZeroPad2d((before, after, before, after))
    return [pad, nn.Conv2d(maps, outputs, size, stride, groups=groups), nn.ReLU6(inplace=True)]
