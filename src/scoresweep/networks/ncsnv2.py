"""The score network of NCSNv2 (Song and Ermon 2020, appendix A): an unconditional RefineNet."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import elu

from scoresweep.networks.base import ScoreNetwork, centre
from scoresweep.networks.normalization import InstanceNormPlus
from scoresweep.networks.refinenet import RefineBlock, ResidualBlock
from scoresweep.score import expand_sigma

__all__ = ["NCSNv2"]


class NCSNv2(ScoreNetwork):
    """RefineNet with InstanceNorm++ whose output is divided by σ, its only use of σ.

    Four stages of two residual blocks (C at full size; 2C at half size, the last two stages with
    dilations 2 and 4 instead of less resolution), four refine blocks back up. At C = 128 on
    3×32×32 images it has 29.69 million parameters.

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: feature maps of the first stage; the others have twice as many.

    Raises:
        ValueError: if `shape` is not that of an image.
    """

    def __init__(self, shape: tuple[int, ...], sigmas: Tensor, *, channels: int = 128) -> None:
        super().__init__(shape, sigmas)
        if len(shape) != 3:
            raise ValueError(f"ncsnv2 needs images of shape (C, H, W), found samples of {shape}")
        c, wide = channels, 2 * channels
        self.first = nn.Conv2d(shape[0], c, 3, padding=1)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(ResidualBlock(c, c), ResidualBlock(c, c)),
                nn.Sequential(ResidualBlock(c, wide, halve=True), ResidualBlock(wide, wide)),
                _dilated_stage(wide, 2),
                _dilated_stage(wide, 4),
            ]
        )
        self.refine = nn.ModuleList(
            [
                RefineBlock([wide], wide),
                RefineBlock([wide, wide], wide),
                RefineBlock([wide, wide], c),
                RefineBlock([c, c], c, units=3),
            ]
        )
        self.norm = InstanceNormPlus(c)
        self.last = nn.Conv2d(c, shape[0], 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, C, H, W) for the noise levels `sigma` (N,), as `x`."""
        maps = [self.first(centre(x))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        deepest, *refine = self.refine
        h = deepest(maps.pop())
        for block in refine:
            h = block(maps.pop(), h)
        output: Tensor = self.last(elu(self.norm(h)))
        return output / expand_sigma(sigma, output)  # float32 under autocast, as sigma is


def _dilated_stage(channels: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(channels, channels, dilation=dilation, project=True),
        ResidualBlock(channels, channels, dilation=dilation),
    )
