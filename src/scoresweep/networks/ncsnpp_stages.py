"""The stages of NCSN++, one for each size of the feature maps, and how they are built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import torch
from torch import Tensor, nn

from scoresweep.networks.dropout import SampleDropout
from scoresweep.networks.ncsnpp_blocks import Attention, BlockType, Condition, ResidualBlock
from scoresweep.networks.ncsnpp_pyramids import (
    FirstOutputResidual,
    InputSkip,
    NoPyramid,
    OutputSkip,
    ResidualPyramid,
)
from scoresweep.networks.resampling import Double, DoublingConv, Halve, HalvingConv

__all__ = ["DownStage", "ProgressiveInput", "ProgressiveOutput", "Stages", "UpStage"]

ProgressiveInput = Literal["none", "input_skip", "residual"]
ProgressiveOutput = Literal["none", "output_skip", "residual"]


class DownStage(nn.Module):
    """Residual blocks, each with attention or without; then half the size, and the pyramid."""

    def __init__(
        self, layers: list[nn.Module], resize: nn.Module | None, pyramid: nn.Module
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.resize = resize
        self.pyramid = pyramid

    def forward(
        self, h: Tensor, pyramid: Tensor, condition: Condition, maps: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Map `h` and `pyramid` to the next size; append what the way up takes to `maps`."""
        for layer in self.layers:
            if isinstance(layer, Attention):
                maps[-1] = h = layer(h)
            else:
                h = layer(h, condition)
                maps.append(h)
        if self.resize is not None:
            h, pyramid = self.pyramid(resized(self.resize, h, condition), pyramid)
            maps.append(h)
        return h, pyramid


class UpStage(nn.Module):
    """Residual blocks that take the maps from the way down, attention, pyramid; twice the size."""

    def __init__(
        self,
        blocks: list[nn.Module],
        attention: nn.Module,
        pyramid: nn.Module,
        resize: nn.Module | None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = attention
        self.pyramid = pyramid
        self.resize = resize

    def forward(
        self, h: Tensor, pyramid: Tensor, condition: Condition, maps: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Map `h` and `pyramid` to the next size; remove what this stage takes from `maps`."""
        for block in self.blocks:
            h = block(torch.cat([h, maps.pop()], dim=1), condition)
        h, pyramid = self.pyramid(self.attention(h), pyramid)
        return (h if self.resize is None else resized(self.resize, h, condition)), pyramid


def resized(module: nn.Module, h: Tensor, condition: Condition) -> Tensor:
    """Return `h` (N, C, H, W) at the size that a residual block or a convolution changes it to."""
    output: Tensor = module(h, condition) if isinstance(module, ResidualBlock) else module(h)
    return output


@dataclass
class Stages:
    """Builds the stages from the options of `NCSNpp`, in the order of their layers."""

    image_channels: int
    channels: int
    widths: Sequence[int]
    """Channels of each stage."""
    attend: Sequence[bool]
    """Whether each stage has attention."""
    blocks: int
    block_type: BlockType
    fir: bool
    rescale: bool
    progressive_input: ProgressiveInput
    progressive_output: ProgressiveOutput
    dropout: float
    _maps: list[int] = field(default_factory=list)
    """Channels of the maps that the way up takes."""
    _dropouts: Iterator[int] = field(default_factory=count)
    """Numbers of the dropout layers."""

    def down(self) -> Iterator[DownStage]:
        """Yield the stages on the way down."""
        width, pyramid = self.channels, self.image_channels
        self._maps.append(width)
        for stage, outputs in enumerate(self.widths):
            layers: list[nn.Module] = []
            for _ in range(self.blocks):
                layers.append(self._block(width, outputs))
                layers += [self._attention(outputs)] if self.attend[stage] else []
                width = outputs
                self._maps.append(width)
            if stage == len(self.widths) - 1:
                yield DownStage(layers, None, NoPyramid())
                return
            yield DownStage(layers, self._halve(width), self._input(pyramid, width))
            self._maps.append(width)
            pyramid = width if self.progressive_input == "residual" else pyramid

    def middle(self) -> Iterator[nn.Module]:
        """Yield block, attention and block, at the smallest size."""
        width = self.widths[-1]
        yield self._block(width, width)
        yield self._attention(width)
        yield self._block(width, width)

    def up(self) -> Iterator[UpStage]:
        """Yield the stages on the way up; call it after `down`."""
        width = self.widths[-1]
        for stage in reversed(range(len(self.widths))):
            blocks: list[nn.Module] = []
            below, outputs = width, self.widths[stage]
            for _ in range(self.blocks + 1):
                blocks.append(self._block(width + self._maps.pop(), outputs))
                width = outputs
            attention = self._attention(width) if self.attend[stage] else nn.Identity()
            pyramid = self._output(below, width, first=stage == len(self.widths) - 1)
            yield UpStage(blocks, attention, pyramid, self._double(width) if stage else None)

    def _block(
        self, inputs: int, outputs: int, resample: Halve | Double | None = None
    ) -> ResidualBlock:
        return ResidualBlock(
            inputs,
            outputs,
            4 * self.channels,
            resample=resample,
            dropout=SampleDropout(self.dropout, next(self._dropouts)),
            rescale=self.rescale,
            block_type=self.block_type,
        )

    def _attention(self, width: int) -> Attention:
        return Attention(width, rescale=self.rescale)

    def _halve(self, width: int) -> nn.Module:
        if self.block_type == "ddpm":
            return HalvingConv(width, width, fir=self.fir)
        return self._block(width, width, Halve(fir=self.fir))

    def _double(self, width: int) -> nn.Module:
        if self.block_type == "ddpm":
            return DoublingConv(width, width, fir=self.fir)
        return self._block(width, width, Double(fir=self.fir))

    def _input(self, pyramid: int, width: int) -> nn.Module:
        """Return the pyramid of the input after a stage; `pyramid` are its channels."""
        if self.progressive_input == "none":
            return NoPyramid()
        if self.progressive_input == "input_skip":
            return InputSkip(pyramid, width, fir=self.fir)
        return ResidualPyramid(HalvingConv(pyramid, width, fir=self.fir), rescale=self.rescale)

    def _output(self, below: int, width: int, first: bool) -> nn.Module:
        """Return the pyramid of the output in a stage; `below` are the channels of the stage
        before."""
        if self.progressive_output == "none":
            return NoPyramid()
        if self.progressive_output == "output_skip":
            return OutputSkip(width, self.image_channels, fir=self.fir, first=first)
        if first:
            return FirstOutputResidual(width)
        return ResidualPyramid(DoublingConv(below, width, fir=self.fir), rescale=self.rescale)
