"""Training batches as a pure function of (seed, step, position).

The samples are an endless row: epoch after epoch, each in its own random order. Step t takes the
positions [tB, (t+1)B) of it, whichever process asks for which part, so neither the number of
processes nor a restart changes a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.data.model_space import to_model_space
from scoresweep.data.store import Split
from scoresweep.errors import InputError
from scoresweep.seeds import generator_for

__all__ = ["Loader"]


class Loader:
    """A split that fits in memory, held on the device as it is stored."""

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        flip: bool = False,
    ) -> None:
        """Move `split` to `device`; `flip` mirrors images with probability one half."""
        if flip and split.pixel_range is None:
            raise InputError("train.flip: true is for images; this dataset holds points.")
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.device(device)
        self.flip = flip
        self._values = torch.from_numpy(split.values).to(self.device)
        self._pixel_range = split.pixel_range
        self._orders: dict[int, Tensor] = {}

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the positions [start, stop) of the global batch of `step`, in model space.

        `step` counts from 0. Nothing here waits for the device.
        """
        stop = self.batch_size if stop is None else stop
        rows = self._values.index_select(0, self.indices(step, start, stop))
        if self.flip:
            mirrored = torch.rand(self.batch_size, generator=generator_for(self.seed, "flip", step))
            mask = (mirrored[start:stop] < 0.5).to(self.device, non_blocking=True)
            rows = torch.where(mask[:, None, None, None], rows.flip(2), rows)
        return to_model_space(rows, self._pixel_range)

    def indices(self, step: int, start: int, stop: int) -> Tensor:
        """Return which samples stand at these positions of the batch, int64 on the device."""
        count = len(self._values)
        first, end = step * self.batch_size + start, step * self.batch_size + stop
        parts = [
            self._order(epoch)[max(first - epoch * count, 0) : end - epoch * count]
            for epoch in range(first // count, (end - 1) // count + 1)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _order(self, epoch: int) -> Tensor:
        """Return the order of one epoch; the last two that were asked for are kept."""
        if epoch not in self._orders:
            while len(self._orders) >= 2:
                self._orders.pop(next(iter(self._orders)))
            generator = generator_for(self.seed, "order", epoch)
            order = torch.randperm(len(self._values), generator=generator)
            self._orders[epoch] = order.to(self.device)
        return self._orders[epoch]
