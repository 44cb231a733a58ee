"""RefineNet with InstanceNorm++: residual blocks on the way down, refine blocks on the way up.

Song and Ermon (2019, 2020), appendix A; after RefineNet (Lin et al. 2017). Every activation is ELU.
The networks of the two papers differ in their norms. Without `levels` (2020), all levels share the
parameters of a norm, and only residual blocks have norms. With `levels` (2019), each noise level
has its own parameters, refine blocks have norms too, and chained pooling is average pooling instead
of max pooling.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate, max_pool2d

from scoresweep.networks.normalization import InstanceNormPlus
from scoresweep.networks.score_network import ScoreNetwork, to_symmetric_range

__all__ = ["RefineBlock", "RefineNet", "ResidualBlock"]

DILATIONS = (2, 4)
"""Dilations of the last stages, which keep the size of the stage before."""


class RefineNet(ScoreNetwork):
    """The common body of the networks of both papers.

    The first stage works at full size. Each later stage halves the size, except the last two, which
    have dilations 2 and 4 instead. A stage has two residual blocks. On the way up there is one
    refine block for each stage, with as many output maps as the stage above.

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: number of feature maps of the first stage.
        levels: number of levels with their own norms; None: norms do not depend on the level.

    Raises:
        ValueError: if `shape` is not (C, H, W), or the image is too small for the stages.
    """

    widths: ClassVar[tuple[int, ...]] = (1, 2, 2, 2)
    """Number of feature maps of each stage, relative to the first."""

    def __init__(
        self, shape: tuple[int, ...], sigmas: Tensor, channels: int, levels: int | None = None
    ) -> None:
        super().__init__(shape, sigmas)
        if len(shape) != 3:
            raise ValueError(
                f"{type(self).__name__.lower()} needs images of shape (C, H, W), found samples of "
                f"{shape}"
            )
        smallest = 2 ** (len(self.widths) - 1 - len(DILATIONS))
        if min(shape[1:]) < smallest:
            raise ValueError(
                f"{type(self).__name__.lower()} needs images of {smallest}×{smallest} pixels or "
                f"more for its stages, found {shape[2]}×{shape[1]}"
            )
        widths = [channels * width for width in self.widths]
        self.first = _conv3x3(shape[0], channels)
        self.stages = nn.ModuleList(_stages(widths, levels))
        above = [channels, *widths[:-1]]
        inputs = [[width, below] for width, below in zip(widths, widths, strict=True)]
        inputs[-1] = [widths[-1]]
        self.refine = nn.ModuleList(
            RefineBlock(inputs[i], above[i], units=1 if i else 3, levels=levels)
            for i in reversed(range(len(widths)))
        )
        self.norm = InstanceNormPlus(channels, levels)
        self.last = _conv3x3(channels, shape[0])

    def features(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Return the output (N, C, H, W) for images `x` (N, C, H, W) at `level` (N,)."""
        maps = [self.first(to_symmetric_range(x))]
        for stage in self.stages:
            maps.append(stage(maps[-1], level))
        deepest, *refine = self.refine
        h = deepest([maps.pop()], level)
        for block in refine:
            h = block([maps.pop(), h], level)
        output: Tensor = self.last(elu(self.norm(h, level)))
        return output


class ResidualBlock(nn.Module):
    """Pre-activation residual block: norm, ELU, conv, norm, ELU, conv, plus a shortcut.

    Args:
        inputs: channels of the input.
        outputs: channels of the output; it can differ from `inputs` only if the shortcut has a
            convolution.
        halve: apply 2×2 average pooling after the second convolution and in the shortcut.
        dilation: dilation of the convolutions.
        project: use a 3×3 convolution of the same dilation in the shortcut.
        levels: number of levels with their own norms, or None.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        halve: bool = False,
        dilation: int = 1,
        project: bool = False,
        levels: int | None = None,
    ) -> None:
        super().__init__()
        self.halve = halve
        self.norm1 = InstanceNormPlus(inputs, levels)
        self.conv1 = _conv3x3(inputs, inputs, dilation=dilation)
        self.norm2 = InstanceNormPlus(inputs, levels)
        self.conv2 = _conv3x3(inputs, outputs, dilation=dilation)
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)
        elif project:
            self.shortcut = _conv3x3(inputs, outputs, dilation=dilation)

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Map `x` (N, inputs, H, W) to (N, outputs, H, W), or to half that height and width."""
        h: Tensor = self.conv1(elu(self.norm1(x, level)))
        h = self.conv2(elu(self.norm2(h, level)))
        if self.halve:
            # Pooling and a 1×1 convolution commute; this order convolves a quarter of the pixels.
            h, x = avg_pool2d(h, 2), avg_pool2d(x, 2)
        shortcut: Tensor = self.shortcut(x)
        return h + shortcut


class RefineBlock(nn.Module):
    """Fuse feature maps of several sizes at the size of the first, then pool and refine them.

    Each input passes two residual convolution units. Several inputs are fused by a convolution
    each, a bilinear resize and a sum. Chained residual pooling and `units` more units follow.

    Args:
        inputs: channels of each input.
        outputs: channels of the output.
        units: number of residual convolution units at the end.
        levels: number of levels with their own norms; None: the block has no norms.
    """

    def __init__(
        self, inputs: list[int], outputs: int, *, units: int = 1, levels: int | None = None
    ) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(_units(channels, 2, levels) for channels in inputs)
        fused = inputs if len(inputs) > 1 else []
        self.fuse_norms = nn.ModuleList(_inner_norm(channels, levels) for channels in fused)
        self.fuse = nn.ModuleList(_conv3x3(channels, outputs) for channels in fused)
        self.pool = _ChainedPooling(outputs, 2, levels)
        self.output = _units(outputs, units, levels)

    def forward(self, xs: list[Tensor], level: Tensor | None = None) -> Tensor:
        """Return (N, outputs, H, W) with the height and width of the first of `xs`."""
        hs = [adapt(x, level) for adapt, x in zip(self.adapt, xs, strict=True)]
        fused = hs[0]
        if self.fuse:
            parts = zip(self.fuse, self.fuse_norms, hs, strict=True)
            hs = [conv(norm(h, level)) for conv, norm, h in parts]
            fused = sum((_resize(h, hs[0]) for h in hs[1:]), start=hs[0])
        output: Tensor = self.output(self.pool(fused, level), level)
        return output


class _ConvUnit(nn.Module):
    """Residual convolution unit: (norm, ELU, conv without bias) twice, plus the input."""

    def __init__(self, channels: int, levels: int | None) -> None:
        super().__init__()
        self.norm1 = _inner_norm(channels, levels)
        self.conv1 = _conv3x3(channels, channels, bias=False)
        self.norm2 = _inner_norm(channels, levels)
        self.conv2 = _conv3x3(channels, channels, bias=False)

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        h: Tensor = self.conv1(elu(self.norm1(x, level)))
        h = self.conv2(elu(self.norm2(h, level)))
        return x + h


class _ChainedPooling(nn.Module):
    """Chained residual pooling: ELU, plus each link of a chain of norm, 5×5 pool and conv."""

    def __init__(self, channels: int, stages: int, levels: int | None) -> None:
        super().__init__()
        self.pool = max_pool2d if levels is None else avg_pool2d
        self.norms = nn.ModuleList(_inner_norm(channels, levels) for _ in range(stages))
        self.convs = nn.ModuleList(_conv3x3(channels, channels, bias=False) for _ in range(stages))

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        total = link = elu(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            link = conv(self.pool(norm(link, level), 5, stride=1, padding=2))
            total = total + link
        return total


class _Chain(nn.ModuleList):
    """Like `nn.Sequential`, with the level as a second argument of each module."""

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        for module in self:
            x = module(x, level)
        return x


class _NoNorm(nn.Module):
    def forward(self, x: Tensor, _level: Tensor | None) -> Tensor:
        return x


def _inner_norm(channels: int, levels: int | None) -> nn.Module:
    """Return the norm inside a refine block."""
    return _NoNorm() if levels is None else InstanceNormPlus(channels, levels)


def _stages(widths: list[int], levels: int | None) -> list[nn.Module]:
    """Return the stages on the way down, with `widths` feature maps."""
    dilations = [1] * (len(widths) - len(DILATIONS)) + list(DILATIONS)
    stages: list[nn.Module] = []
    for i, (width, dilation) in enumerate(zip(widths, dilations, strict=True)):
        first = ResidualBlock(
            widths[max(i - 1, 0)],
            width,
            halve=i > 0 and dilation == 1,
            dilation=dilation,
            project=dilation > 1,
            levels=levels,
        )
        second = ResidualBlock(width, width, dilation=dilation, levels=levels)
        stages.append(_Chain([first, second]))
    return stages


def _units(channels: int, count: int, levels: int | None) -> _Chain:
    return _Chain(_ConvUnit(channels, levels) for _ in range(count))


def _conv3x3(inputs: int, outputs: int, *, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    size = like.shape[2:]
    if x.shape[2:] == size:
        return x
    return interpolate(x, size=size, mode="bilinear", align_corners=True)
