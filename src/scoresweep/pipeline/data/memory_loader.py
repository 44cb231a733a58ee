"""Training batches as a pure function of (seed, step, position).

The samples form an endless sequence: epoch after epoch, each in its own random order. Step t uses
the positions [tB, (t+1)B), however the processes share them, so neither the number of processes nor
a restart changes a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scoresweep.pipeline.data.split import Split, to_model_space
from scoresweep.pipeline.errors import InputError
from scoresweep.seeds import generator_for

__all__ = ["BatchSource", "InMemoryLoader"]


class BatchSource(ABC):
    """Batches of an endless sequence of samples."""

    def __init__(
        self,
        pixel_range: tuple[float, float] | None,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        flip: bool = False,
    ) -> None:
        """Set the batch size, seed and device; `flip` mirrors images with probability 1/2."""
        if flip and pixel_range is None:
            raise InputError(
                "train.flip: true, but this dataset contains points; flip works only for images. "
                "Set train.flip: false."
            )
        self.pixel_range = pixel_range
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.device(device)
        self.flip = flip

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples per epoch."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample in model space: (C, H, W) or (D,)."""
        return tuple(self.batch(0, 0, 1).shape[1:])

    @abstractmethod
    def rows(self, first: int, end: int) -> Tensor:
        """Return the samples [first, end) of the sequence, on the device, as stored."""

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Return samples [start, stop) of the global batch of `step` (from 0), in model space."""
        stop = self.batch_size if stop is None else stop
        rows = self.rows(step * self.batch_size + start, step * self.batch_size + stop)
        if self.flip:
            mirrored = torch.rand(self.batch_size, generator=generator_for(self.seed, "flip", step))
            mask = (mirrored[start:stop] < 0.5).to(self.device, non_blocking=True)
            rows = torch.where(mask[:, None, None, None], rows.flip(2), rows)
        return to_model_space(rows, self.pixel_range)


class InMemoryLoader(BatchSource):
    """Batches of a split that is kept on the device.

    Each epoch is a random order of all samples. No call synchronises the device.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        flip: bool = False,
    ) -> None:
        """Move `split` to `device`; `flip` mirrors images with probability 1/2."""
        super().__init__(split.pixel_range, batch_size, seed, device, flip)
        self._values = torch.from_numpy(split.values).to(self.device)
        self._orders: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._values)

    def rows(self, first: int, end: int) -> Tensor:
        """Return the samples [first, end) of the sequence."""
        count = len(self._values)
        parts = [
            self._order(epoch)[max(first - epoch * count, 0) : end - epoch * count]
            for epoch in range(first // count, (end - 1) // count + 1)
        ]
        index = parts[0] if len(parts) == 1 else torch.cat(parts)
        return self._values.index_select(0, index)

    def _order(self, epoch: int) -> Tensor:
        """Return the order of one epoch, from a cache of two."""
        if epoch not in self._orders:
            while len(self._orders) >= 2:
                self._orders.pop(next(iter(self._orders)))
            generator = generator_for(self.seed, "order", epoch)
            order = torch.randperm(len(self._values), generator=generator)
            self._orders[epoch] = order.to(self.device)
        return self._orders[epoch]
