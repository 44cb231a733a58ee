"""The base class of score networks."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ScoreNetwork", "to_symmetric_range"]


class ScoreNetwork(nn.Module):
    """A module that returns the score ∇ₓ log q_σ(x) (see `scoresweep.score.Score`).

    Args:
        shape: shape of one sample: (C, H, W) of an image, (D,) of a point.
        sigmas: the ladder σ_1 > … > σ_L of training, (L,); kept as the buffer `sigmas`, float32.
    """

    sigmas: Tensor

    def __init__(self, shape: tuple[int, ...], sigmas: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("sigmas", sigmas.float())

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, *shape) for the noise levels `sigma` (N,), as `x`."""
        raise NotImplementedError


def to_symmetric_range(x: Tensor) -> Tensor:
    """Map images (N, C, H, W) from [0, 1] to [−1, 1]; points (N, D) are not changed."""
    return 2 * x - 1 if x.ndim == 4 else x
