"""The random numbers of a training step.

They are drawn in blocks of `BLOCK` positions of the global batch, each from its own generator,
seeded by (seed, step, block). The numbers of a position are a function of (seed, step, position):
neither the number of processes nor a restart changes them, and no process draws much more than its
share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from scoresweep.seeds import derive_seed

__all__ = ["BLOCK", "StepNoise"]

BLOCK = 32


class StepNoise:
    """Draws levels, noise and random directions for any slice of a global batch."""

    def __init__(
        self,
        seed: int,
        shape: tuple[int, ...],
        levels: int,
        device: torch.device,
        projections: int = 0,
        distribution: Literal["rademacher", "normal"] = "rademacher",
        draw_sigmas: Callable[[int, torch.Generator], Tensor] | None = None,
    ) -> None:
        """Draw for samples of `shape` and `levels` noise levels, with `projections` directions.

        `draw_sigmas` takes a count and a generator and returns that many σ from a continuous law,
        which replace the levels.
        """
        self.draw_sigmas = draw_sigmas
        self.seed = seed
        self.shape = shape
        self.levels = levels
        self.device = device
        self.projections = projections
        self.distribution = distribution
        self._generator = torch.Generator(device=device)

    def __call__(self, step: int, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return level indices or σ, normal noise and random directions.

        The levels, (n,), are uniform over the ladder; σ, (n,), is from `draw_sigmas`; noise has the
        shape (n, *shape), directions (M, n, *shape). `start` and `stop` are positions in the global
        batch of `step`; n = stop - start.
        """
        first, last = start // BLOCK, -(-stop // BLOCK)
        blocks = [self._block(step, block) for block in range(first, last)]
        positions = slice(start - first * BLOCK, stop - first * BLOCK)
        levels, noise, directions = zip(*blocks, strict=True)
        return (
            torch.cat(levels)[positions],
            torch.cat(noise)[positions],
            torch.cat(directions, dim=1)[:, positions],
        )

    def _block(self, step: int, block: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = self._generator.manual_seed(derive_seed(self.seed, "draws", step, block))
        if self.draw_sigmas:
            levels = self.draw_sigmas(BLOCK, generator)
        else:
            levels = torch.randint(self.levels, (BLOCK,), generator=generator, device=self.device)
        noise = torch.randn((BLOCK, *self.shape), generator=generator, device=self.device)
        size = (self.projections, BLOCK, *self.shape)
        if self.distribution == "normal":
            directions = torch.randn(size, generator=generator, device=self.device)
        else:
            directions = 2.0 * torch.randint(2, size, generator=generator, device=self.device) - 1
        return levels, noise, directions
