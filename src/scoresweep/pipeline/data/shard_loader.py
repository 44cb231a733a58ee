"""Training batches of a split that does not fit in memory.

An epoch is a random order of the store's shards. As many shards as fit in memory form a block,
whose samples are shuffled together; meanwhile a thread reads the next block. The order is a
function of (seed, position). Each process reads whole blocks, even if it uses only a part of each
batch.
"""

from __future__ import annotations

import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor

from scoresweep.pipeline.data.dataset_store import (
    open_array,
    parse_pixel_range,
    read_shards,
    read_split,
    shard_ranges,
)
from scoresweep.pipeline.data.memory_loader import BatchSource, InMemoryLoader
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.seeds import generator_for

__all__ = ["ShardLoader", "open_loader", "random_samples"]

BLOCKS = 3
"""Parts of the memory limit: the current block, the next block, and one for buffers and batches."""


def open_loader(
    store: Path,
    split: str,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    flip: bool = False,
    memory_limit: int = 8 * 1024**3,
) -> BatchSource:
    """Return batches of a staged split, kept in memory if it takes at most `memory_limit` bytes.

    The limit changes the order of the samples: a larger split is shuffled block by block. Raises
    `InputError` if the store is missing or damaged.
    """
    described = check_store(store)["splits"][split]
    name = "image" if "image" in described else "point"
    array = open_array(zarr.open_group(store, path=split, mode="r"), name, store)
    if array.nbytes <= memory_limit:
        return InMemoryLoader(read_split(store, split), batch_size, seed, device, flip)
    return ShardLoader(store, array, batch_size, seed, device, flip, memory_limit)


def random_samples(store: Path, split: str, max_count: int) -> Tensor:
    """Return at most `max_count` random samples of a staged split in model space, (N, ...).

    The choice is always the same.
    """
    loader = open_loader(store, split, max_count, seed=0)
    return loader.batch(0, 0, min(len(loader), max_count))


@dataclass(frozen=True)
class ShardBlock:
    """The samples of some shards, and a random order of them."""

    values: Tensor
    order: Tensor


class ShardLoader(BatchSource):
    """Batches of a split that is read block by block."""

    def __init__(
        self,
        store: Path,
        array: zarr.Array[Any],
        batch_size: int,
        seed: int,
        device: torch.device | str,
        flip: bool,
        memory_limit: int,
    ) -> None:
        """Read the samples in `array` of `store`, using about `memory_limit` bytes of memory."""
        super().__init__(parse_pixel_range(array.attrs.asdict()), batch_size, seed, device, flip)
        self._store, self._array, self._count = store, array, array.shape[0]
        self._shards = shard_ranges(array)
        shard_bytes = self._shards[0][1] * array.nbytes // self._count
        self._shards_per_block = max(1, memory_limit // (BLOCKS * shard_bytes))
        max_block = min(self._shards_per_block * self._shards[0][1], self._count)
        # Reused: allocating fresh memory takes longer than reading into it.
        self._buffers = [np.empty((max_block, *array.shape[1:]), array.dtype) for _ in range(2)]
        self._reader = ThreadPoolExecutor(max_workers=1)
        self._blocks: dict[tuple[int, int], tuple[int, Future[ShardBlock]]] = {}
        self._plans: dict[int, list[list[tuple[int, int]]]] = {}

    def __len__(self) -> int:
        return self._count

    def rows(self, first: int, end: int) -> Tensor:
        """Return the samples [first, end) of the sequence."""
        template = torch.from_numpy(self._buffers[0])
        pinned = self.device.type == "cuda"
        rows = torch.empty(
            (end - first, *template.shape[1:]), dtype=template.dtype, pin_memory=pinned
        )
        done = 0
        while done < len(rows):
            epoch, offset = divmod(first + done, self._count)
            number, begin = self._locate(epoch, offset)
            block = self._block(epoch, number)
            index = block.order[offset - begin :][: len(rows) - done]
            part = rows[done : done + len(index)]
            torch.index_select(block.values, 0, index, out=part)
            done += len(index)
        return rows.to(self.device, non_blocking=True)

    def _plan(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Return the shards of each block of an epoch, from a cache of two."""
        if epoch not in self._plans:
            while len(self._plans) >= 2:
                self._plans.pop(next(iter(self._plans)))
            generator = generator_for(self.seed, "shards", epoch)
            order = torch.randperm(len(self._shards), generator=generator).tolist()
            size = self._shards_per_block
            self._plans[epoch] = [
                [self._shards[i] for i in order[start : start + size]]
                for start in range(0, len(order), size)
            ]
        return self._plans[epoch]

    def _locate(self, epoch: int, offset: int) -> tuple[int, int]:
        """Return the block that contains the sample at `offset` of an epoch, and its start."""
        sizes = [sum(stop - start for start, stop in shards) for shards in self._plan(epoch)]
        ends = list(itertools.accumulate(sizes))
        number = next(i for i, block_end in enumerate(ends) if offset < block_end)
        return number, ends[number] - sizes[number]

    def _block(self, epoch: int, number: int) -> ShardBlock:
        """Return a block, and start reading the next one into the free buffer."""
        last = number + 1 == len(self._plan(epoch))
        wanted = [(epoch, number), (epoch + 1, 0) if last else (epoch, number + 1)]
        self._blocks = {key: value for key, value in self._blocks.items() if key in wanted}
        free = {0, 1}.difference(buffer for buffer, _ in self._blocks.values())
        for key in wanted:
            if key not in self._blocks:
                buffer = free.pop()
                shards = self._plan(key[0])[key[1]]
                # The only thread finishes any earlier read into this buffer first.
                read = self._reader.submit(self._read, buffer, shards, *key)
                self._blocks[key] = buffer, read
        return self._blocks[wanted[0]][1].result()

    def _read(
        self, buffer: int, shards: list[tuple[int, int]], epoch: int, number: int
    ) -> ShardBlock:
        values = self._buffers[buffer][: sum(stop - start for start, stop in shards)]
        read_shards(self._array, shards, values, self._store)
        generator = generator_for(self.seed, "order", epoch, number)
        return ShardBlock(
            torch.from_numpy(values), torch.randperm(len(values), generator=generator)
        )
