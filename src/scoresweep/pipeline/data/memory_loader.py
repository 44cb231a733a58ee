"""Training batches as a pure function of (seed, step, position).

The samples are an endless row: epoch after epoch, each in its own random order. Step t takes the
positions [tB, (t+1)B) of it, whichever process asks for which part, so neither the number of
processes nor a restart changes a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scoresweep.pipeline.data.model_space import to_model_space
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.seeds import generator_for

__all__ = ["BatchSource", "InMemoryLoader"]


class BatchSource(ABC):
    """Batches of an endless row of samples, wherever the samples are kept."""

    def __init__(
        self,
        pixel_range: tuple[float, float] | None,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        flip: bool = False,
    ) -> None:
        """Describe the batches; `flip` mirrors images with probability one half."""
        if flip and pixel_range is None:
            raise InputError("train.flip: true is for images; this dataset holds points.")
        self.pixel_range = pixel_range
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.device(device)
        self.flip = flip

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples of an epoch."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample in model space: (C, H, W) or (D,)."""
        return tuple(self.batch(0, 0, 1).shape[1:])

    @abstractmethod
    def rows(self, first: int, end: int) -> Tensor:
        """Return the samples [first, end) of the endless row, on the device, as they are stored."""

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the positions [start, stop) of the global batch of `step`, in model space.

        `step` counts from 0.
        """
        stop = self.batch_size if stop is None else stop
        rows = self.rows(step * self.batch_size + start, step * self.batch_size + stop)
        if self.flip:
            mirrored = torch.rand(self.batch_size, generator=generator_for(self.seed, "flip", step))
            mask = (mirrored[start:stop] < 0.5).to(self.device, non_blocking=True)
            rows = torch.where(mask[:, None, None, None], rows.flip(2), rows)
        return to_model_space(rows, self.pixel_range)


class InMemoryLoader(BatchSource):
    """A split that fits in memory, held on the device as it is stored.

    An epoch is one random order of all samples. Nothing here waits for the device.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        flip: bool = False,
    ) -> None:
        """Move `split` to `device`; `flip` mirrors images with probability one half."""
        super().__init__(split.pixel_range, batch_size, seed, device, flip)
        self._values = torch.from_numpy(split.values).to(self.device)
        self._orders: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._values)

    def rows(self, first: int, end: int) -> Tensor:
        """Return the samples [first, end) of the endless row."""
        count = len(self._values)
        parts = [
            self._order(epoch)[max(first - epoch * count, 0) : end - epoch * count]
            for epoch in range(first // count, (end - 1) // count + 1)
        ]
        index = parts[0] if len(parts) == 1 else torch.cat(parts)
        return self._values.index_select(0, index)

    def _order(self, epoch: int) -> Tensor:
        """Return the order of one epoch; the last two that were asked for are kept."""
        if epoch not in self._orders:
            while len(self._orders) >= 2:
                self._orders.pop(next(iter(self._orders)))
            generator = generator_for(self.seed, "order", epoch)
            order = torch.randperm(len(self._values), generator=generator)
            self._orders[epoch] = order.to(self.device)
        return self._orders[epoch]
