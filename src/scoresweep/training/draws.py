"""The random numbers of a training step.

They are drawn in blocks of `BLOCK` positions of the global batch, each from a generator of its own
seeded by (seed, step, block). What a position gets is a function of (seed, step, position): it does
not depend on how many processes share the batch, nor on a restart, and no process draws much more
than its own share.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.seeds import derive_seed

__all__ = ["BLOCK", "Draws"]

BLOCK = 32


class Draws:
    """Draws levels and noise for any slice of a global batch."""

    def __init__(
        self, seed: int, shape: tuple[int, ...], levels: int, device: torch.device
    ) -> None:
        self.seed = seed
        self.shape = shape
        self.levels = levels
        self.device = device
        self._generator = torch.Generator(device=device)

    def __call__(self, step: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return level indices, shape (n,), uniform over the ladder, and normal noise, (n, *shape).

        `start` and `stop` are positions in the global batch of `step`; n = stop - start.
        """
        first, last = start // BLOCK, -(-stop // BLOCK)
        blocks = [self._block(step, block) for block in range(first, last)]
        cut = slice(start - first * BLOCK, stop - first * BLOCK)
        levels = torch.cat([levels for levels, _ in blocks])[cut]
        noise = torch.cat([noise for _, noise in blocks])[cut]
        return levels, noise

    def _block(self, step: int, block: int) -> tuple[Tensor, Tensor]:
        generator = self._generator.manual_seed(derive_seed(self.seed, "draws", step, block))
        levels = torch.randint(self.levels, (BLOCK,), generator=generator, device=self.device)
        noise = torch.randn((BLOCK, *self.shape), generator=generator, device=self.device)
        return levels, noise
