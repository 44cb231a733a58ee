"""The parts of NCSNv2's RefineNet: residual blocks on the way down, refine blocks on the way up.

Song and Ermon (2019, 2020), appendix A; after RefineNet (Lin et al. 2017). Every activation is ELU.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate, max_pool2d

from scoresweep.networks.normalization import InstanceNormPlus

__all__ = ["RefineBlock", "ResidualBlock"]


def _conv3x3(inputs: int, outputs: int, *, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)


class ResidualBlock(nn.Module):
    """Pre-activation residual block: norm, ELU, conv, norm, ELU, conv, plus a shortcut.

    Args:
        inputs: channels of the input.
        outputs: channels of the output; other than `inputs` only where the block halves the size.
        halve: follow the second convolution and the shortcut by a 2×2 mean.
        dilation: dilation of the convolutions.
        project: pass the shortcut through a 3×3 convolution of the same dilation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        halve: bool = False,
        dilation: int = 1,
        project: bool = False,
    ) -> None:
        super().__init__()
        self.halve = halve
        self.norm1 = InstanceNormPlus(inputs)
        self.conv1 = _conv3x3(inputs, inputs, dilation=dilation)
        self.norm2 = InstanceNormPlus(inputs)
        self.conv2 = _conv3x3(inputs, outputs, dilation=dilation)
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)
        elif project:
            self.shortcut = _conv3x3(inputs, outputs, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W), or half that height and width, of `x` (N, inputs, H, W)."""
        h: Tensor = self.conv1(elu(self.norm1(x)))
        h = self.conv2(elu(self.norm2(h)))
        if self.halve:
            # A mean and a 1×1 convolution commute; this order convolves a quarter of the pixels.
            h, x = avg_pool2d(h, 2), avg_pool2d(x, 2)
        shortcut: Tensor = self.shortcut(x)
        return h + shortcut


class RefineBlock(nn.Module):
    """Fuse feature maps of several sizes at the size of the first, then pool and refine them.

    Each input passes two residual convolution units. A convolution each, a bilinear resize and a
    sum fuse them; one input alone stays as it is. Chained residual pooling and `units` more units
    follow.

    Args:
        inputs: channels of each input.
        outputs: channels of the output.
        units: residual convolution units at the end.
    """

    def __init__(self, inputs: list[int], outputs: int, *, units: int = 1) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(_units(channels, 2) for channels in inputs)
        several = len(inputs) > 1
        self.fuse = nn.ModuleList(_conv3x3(channels, outputs) for channels in inputs if several)
        self.pool = _ChainedPooling(outputs, 2)
        self.output = _units(outputs, units)

    def forward(self, *xs: Tensor) -> Tensor:
        """Return (N, outputs, H, W), with the height and width of the first of `xs`."""
        hs = [adapt(x) for adapt, x in zip(self.adapt, xs, strict=True)]
        fused = hs[0]
        if self.fuse:
            hs = [conv(h) for conv, h in zip(self.fuse, hs, strict=True)]
            fused = sum((_resize(h, hs[0]) for h in hs[1:]), start=hs[0])
        output: Tensor = self.output(self.pool(fused))
        return output


class _ConvUnit(nn.Module):
    """Residual convolution unit: ELU, conv, ELU, conv, plus the input; no norm, no bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, channels, bias=False)
        self.conv2 = _conv3x3(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv2(elu(self.conv1(elu(x))))
        return x + h


class _ChainedPooling(nn.Module):
    """Chained residual pooling: ELU, plus each link of a chain of 5×5 max-pools and convs."""

    def __init__(self, channels: int, stages: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv3x3(channels, channels, bias=False) for _ in range(stages))

    def forward(self, x: Tensor) -> Tensor:
        total = link = elu(x)
        for conv in self.convs:
            link = conv(max_pool2d(link, 5, stride=1, padding=2))
            total = total + link
        return total


def _units(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[_ConvUnit(channels) for _ in range(count)])


def _resize(x: Tensor, like: Tensor) -> Tensor:
    size = like.shape[2:]
    if x.shape[2:] == size:
        return x
    return interpolate(x, size=size, mode="bilinear", align_corners=True)
