"""NCSN++ and the DDPM architecture, as trained with noise up to σ_1 by Song et al. (2021).

"Score-based generative modeling through stochastic differential equations",
https://arxiv.org/abs/2011.13456, appendix H; the authors' program is
https://github.com/yang-song/score_sde_pytorch. The options of its configurations are in
docs/ncsnpp.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scoresweep.networks.dropout import sample_keys
from scoresweep.networks.initial_weights import NEARLY_ZERO, initialised
from scoresweep.networks.level_index import level_position
from scoresweep.networks.ncsnpp_blocks import Attention, BlockType, Condition, group_norm
from scoresweep.networks.ncsnpp_stages import ProgressiveInput, ProgressiveOutput, Stages
from scoresweep.networks.preconditioning import preconditioned_input, preconditioned_score
from scoresweep.networks.score_network import ScoreNetwork, to_symmetric_range
from scoresweep.networks.sigma_embeddings import FourierEmbedding, positional_embedding
from scoresweep.score import expand_sigma

__all__ = ["NCSNpp"]


class NCSNpp(ScoreNetwork):
    """A U-Net of residual blocks with pyramids of inputs and outputs, conditioned on σ.

    On the way down there are `blocks` residual blocks for each stage, then the size is halved. The
    middle is block, attention, block. On the way up there are `blocks` + 1 blocks for each stage,
    each of which also takes one of the maps from the way down. The defaults are those of the
    authors' configuration ve/cifar10_ncsnpp_continuous, with 62.8 million parameters.

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: number of feature maps of the first stage.
        multipliers: number of feature maps of each stage, relative to `channels`; each stage after
            the first works at half the size of the stage before.
        blocks: number of residual blocks of a stage on the way down.
        attention: sizes, in pixels of the longer side, at which there is self-attention: after
            each block on the way down, and once on the way up; the middle always has it.
        block_type: "biggan": residual blocks that also change the size; "ddpm": convolutions
            change the size.
        fir: filter with (1, 3, 3, 1) where the size changes.
        skip_rescale: divide the sum of a block and its shortcut by √2.
        progressive_input: how the image at each size is an input.
        progressive_output: how an image at each size is made for the output.
        embedding: "fourier": random Fourier features of log σ; "positional": sines and cosines of
            the level's index in the ladder, interpolated between its levels, so that only σ from
            σ_1 to σ_L are valid.
        fourier_scale: standard deviation of the frequencies of "fourier".
        scale_by_sigma: divide the output by σ.
        preconditioning: "edm": that of Karras et al. (2022), see `preconditioning`; "none": the
            images are scaled to [−1, 1].
        data_std: s of "edm".
        dropout: share of values set to zero in training, before the last convolution of a block.

    Raises:
        ValueError: if `shape` is not (C, H, W), its sides cannot be halved for each stage, or the
            preconditioning "edm", which divides by σ, has `scale_by_sigma` false.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sigmas: Tensor,
        *,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 4,
        attention: Sequence[int] = (16,),
        block_type: BlockType = "biggan",
        fir: bool = True,
        skip_rescale: bool = True,
        progressive_input: ProgressiveInput = "residual",
        progressive_output: ProgressiveOutput = "none",
        embedding: Literal["fourier", "positional"] = "fourier",
        fourier_scale: float = 16.0,
        scale_by_sigma: bool = True,
        preconditioning: Literal["none", "edm"] = "none",
        data_std: float = 0.5,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(shape, sigmas)
        _check_shape(shape, len(multipliers))
        self.channels, self.scale_by_sigma, self.dropout = channels, scale_by_sigma, dropout
        self.data_std = data_std if preconditioning == "edm" else None
        if self.data_std is not None and not scale_by_sigma:
            raise ValueError(
                "ncsnpp: preconditioning edm divides by sigma; expected scale_by_sigma true"
            )
        self._add_embedding(fourier_scale if embedding == "fourier" else None)
        self.first = initialised(nn.Conv2d(shape[0], channels, 3, padding=1))
        stages = Stages(
            image_channels=shape[0],
            channels=channels,
            widths=[channels * multiplier for multiplier in multipliers],
            attend=[max(shape[1:]) >> stage in attention for stage in range(len(multipliers))],
            blocks=blocks,
            block_type=block_type,
            fir=fir,
            rescale=skip_rescale,
            progressive_input=progressive_input,
            progressive_output=progressive_output,
            dropout=dropout,
        )
        self.down = nn.ModuleList(stages.down())
        self.middle = nn.ModuleList(stages.middle())
        self.up = nn.ModuleList(stages.up())
        has_last = progressive_output != "output_skip"
        self.last = _last(stages.widths[0], shape[0]) if has_last else None

    def _add_embedding(self, fourier_scale: float | None) -> None:
        """Add the layers of the embedding of σ; `fourier_scale` is None if it is positional."""
        features, wide = self.channels, 4 * self.channels
        self.fourier: FourierEmbedding | None = None
        if fourier_scale is not None:
            self.fourier = FourierEmbedding(features, fourier_scale)
            features *= 2
        self.embed1 = initialised(nn.Linear(features, wide))
        self.embed2 = initialised(nn.Linear(wide, wide))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, C, H, W) for the noise levels `sigma` (N,), as `x`.

        Raises:
            ValueError: with a positional embedding, if a `sigma` is outside the ladder. On a
                GPU its score is NaN instead, because raising an error would synchronise with the
                device at each step.
        """
        features, unknown = self._embed(sigma)
        embedding = silu(self.embed2(silu(self.embed1(features))))
        keys = sample_keys(x) if self.training and self.dropout else None
        score = self._score(x, expand_sigma(sigma, x), Condition(embedding, keys))
        return score if unknown is None else score.masked_fill(expand_sigma(unknown, x), torch.nan)

    def _embed(self, sigma: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features of `sigma` (N,), (N, F), and which σ have none, (N,), if that can be."""
        if self.fourier is not None:
            return self.fourier(sigma), None
        name = "ncsnpp with a positional embedding"
        position, unknown = level_position(sigma, self.sigmas, name)
        return positional_embedding(position, self.channels).to(sigma.dtype), unknown

    def _score(self, x: Tensor, spread: Tensor, condition: Condition) -> Tensor:
        """Return the score at `x` (N, C, H, W) for σ in `spread` (N, 1, 1, 1), as `x`."""
        if self.data_std is not None:
            u, size = preconditioned_input(x, spread, self.data_std)
            output = self._features(u, condition)
            return preconditioned_score(output, u, size, spread, self.data_std)
        output = self._features(to_symmetric_range(x), condition).to(x.dtype)
        return output / spread if self.scale_by_sigma else output

    def _features(self, u: Tensor, condition: Condition) -> Tensor:
        """Return the output (N, C, H, W) for scaled images `u` (N, C, H, W)."""
        pyramid, h = u, self.first(u)
        maps = [h]
        for stage in self.down:
            h, pyramid = stage(h, pyramid, condition, maps)
        for layer in self.middle:
            h = layer(h) if isinstance(layer, Attention) else layer(h, condition)
        for stage in self.up:
            h, pyramid = stage(h, pyramid, condition, maps)
        output: Tensor = pyramid if self.last is None else self.last(h)
        return output


def _last(channels: int, image_channels: int) -> nn.Module:
    """Return the layers from the last feature maps to the output."""
    conv = initialised(nn.Conv2d(channels, image_channels, 3, padding=1), NEARLY_ZERO)
    return nn.Sequential(group_norm(channels), nn.SiLU(), conv)


def _check_shape(shape: tuple[int, ...], stages: int) -> None:
    """Raise `ValueError` if images of `shape` cannot be halved for each of the `stages`."""
    if len(shape) != 3:
        raise ValueError(f"ncsnpp needs images of shape (C, H, W), found samples of {shape}")
    multiple = 2 ** (stages - 1)
    if shape[1] % multiple or shape[2] % multiple:
        raise ValueError(
            f"ncsnpp needs images whose sides are multiples of {multiple} pixels, to halve them "
            f"for {stages} stages, found {shape[2]}×{shape[1]}; use fewer multipliers"
        )
