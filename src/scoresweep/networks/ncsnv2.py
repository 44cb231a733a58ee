"""The score networks of NCSNv2 (Song and Ermon 2020, appendix A): unconditional RefineNets."""

from __future__ import annotations

from torch import Tensor

from scoresweep.networks.refinenet import RefineNet
from scoresweep.score import expand_sigma

__all__ = ["NCSNv2", "NCSNv2Deeper", "NCSNv2Deepest"]


class NCSNv2(RefineNet):
    """RefineNet with InstanceNorm++ whose output is divided by σ; σ is not used otherwise.

    It has four stages of two residual blocks, with C feature maps at full size and 2C at half size;
    the last two stages keep the size and have dilations 2 and 4. Four refine blocks lead back up.
    At C = 128 on 3×32×32 images it has 29.69 million parameters. The paper uses it for 32 and 64
    pixels.

    Args:
        shape: (C, H, W) of an image with pixels in [0, 1].
        sigmas: the ladder, (L,).
        channels: C, number of feature maps of the first stage.

    Raises:
        ValueError: if `shape` is not (C, H, W), or the image is too small for the stages.
    """

    def __init__(self, shape: tuple[int, ...], sigmas: Tensor, *, channels: int = 128) -> None:
        super().__init__(shape, sigmas, channels)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, C, H, W) for the noise levels `sigma` (N,), as `x`."""
        output = self.features(x)
        return output / expand_sigma(sigma, output)  # float32 under autocast, as sigma is


class NCSNv2Deeper(NCSNv2):
    """NCSNv2 with one more stage, at a quarter of the size, and 4C maps in the last two.

    The paper uses it for 96 and 128 pixels. At C = 128 on colour images it has 83.45 million
    parameters.
    """

    widths = (1, 2, 2, 4, 4)


class NCSNv2Deepest(NCSNv2):
    """NCSNv2 with two more stages, at a quarter and an eighth of the size; 4C in the last two.

    The paper uses it for 256 pixels. At C = 128 on colour images it has 94.13 million parameters.
    """

    widths = (1, 2, 2, 2, 4, 4)
