"""Shuffled batches of 128 from a store larger than the memory limit, compared with `numpy.memmap`.

The loader is the one that training uses for a set that does not fit: `open_loader` with a memory
limit of an eighth of the set. `numpy.memmap` reads the same samples in the same order from a
plain file with the same values, and the batches are checked to be equal. Before each turn the
kernel drops its cache of both files, so that both read from the disk: with no more memory than
the limit, a file read once per epoch would not be cached. Within an epoch the limit would not
slow `numpy.memmap`: the order covers no more of the file at a time than the loader holds. The
column of peaks shows the loader's memory beyond its limit (in a separate process, without its
imports).

There are two sets. One does not compress, like photographs (CIFAR-10: 1 %); the other compresses
about as well as small grey pictures on black and must be decompressed.

    python benchmarks/shuffled_reading.py --output shuffled_reading.json
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from harness import Benchmark, begin, command_line, python, ratio
from torch import Tensor

from scoresweep.pipeline.data.dataset_store import write_store
from scoresweep.pipeline.data.memory_loader import BatchSource
from scoresweep.pipeline.data.shard_loader import ShardLoader, open_loader
from scoresweep.pipeline.data.split import Split

BATCH = 128
TARGET = 1.0
SETS = {"photographs": (2, 32.0), "pictures on black": (1, 12.0)}
"""Maximum change from pixel to pixel, and radius."""
PART = """
import sys
sys.path.append(sys.argv[1])
from pathlib import Path
import harness, shuffled_reading
if int(sys.argv[3]):
    shuffled_reading.read_all(Path(sys.argv[2]))
print("peak", harness.peak_gib())
"""


def write_set(folder: Path, count: int, max_step: int, radius: float) -> None:
    """Write `count` images to a store and to a plain file; their first bytes are their index.

    From pixel to pixel a value changes by up to `max_step`; outside a disc of `radius` it is 0.
    """
    random = np.random.default_rng(0)
    steps = random.integers(-max_step, max_step + 1, (count, 32, 32, 3), dtype=np.int8)
    values = np.cumsum(steps, axis=2, dtype=np.int8).view(np.uint8)
    y, x = np.mgrid[-15.5:16, -15.5:16]
    values *= (np.hypot(x, y) < radius)[..., None]
    index = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 4)
    values.reshape(count, -1)[:, :4] = index
    splits = {"train": Split(values, pixel_range=(0.0, 255.0))}
    write_store(folder / "set.zarr", splits, {"source": "random"})
    np.save(folder / "set.npy", values)


def loader_of(folder: Path) -> BatchSource:
    """Return the loader, with a limit of an eighth of the set."""
    limit = (folder / "set.npy").stat().st_size // 8
    return open_loader(folder / "set.zarr", "train", BATCH, 0, memory_limit=limit)


def batches(loader: BatchSource) -> Iterator[Tensor]:
    """Yield the batches of an epoch, as they are stored."""
    for first in range(0, len(loader) - BATCH + 1, BATCH):
        yield loader.rows(first, first + BATCH)


def read_all(folder: Path) -> tuple[int, ThreadPoolExecutor]:
    """Return a sum over all batches, and the loader's read-ahead thread."""
    loader = loader_of(folder)
    assert isinstance(loader, ShardLoader)
    return sum(int(rows[-1].sum()) for rows in batches(loader)), loader._reader


def order_of(folder: Path) -> list[np.ndarray]:
    """Return the sample indices of each batch, from their first bytes."""
    heads = (rows.flatten(1)[:, :4].contiguous().numpy() for rows in batches(loader_of(folder)))
    return [head.view("<u4").ravel() for head in heads]


def drop_cache(folder: Path) -> None:
    """Drop the files in `folder` from the page cache."""
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def measure(benchmark: Benchmark, folder: Path, count: int, name: str) -> None:
    """Measure an epoch of the set `name` by the loader and by `numpy.memmap`."""
    write_set(folder, count, *SETS[name])
    order, sums, threads = order_of(folder), {}, []

    def by_loader() -> None:
        sums["loader"], reader = read_all(folder)
        threads.append(reader)

    def by_memmap() -> None:
        values = np.load(folder / "set.npy", mmap_mode="r")
        rows_of_batches = (torch.from_numpy(values[index]) for index in order)
        sums["memmap"] = sum(int(rows[-1].sum()) for rows in rows_of_batches)

    runs = {"numpy.memmap": by_memmap, "loader": by_loader}
    turns: dict[str, list[float]] = {way: [] for way in runs}
    for turn in range(-1, benchmark.options.repeats):
        for way, run in runs.items():
            drop_cache(folder)
            (elapsed,) = benchmark.times({way: run}, 1, warm_ups=0)[way]
            while threads:
                threads.pop().shutdown()
            if turn >= 0:
                turns[way].append(elapsed)
    assert sums["loader"] == sums["memmap"]
    here, values_bytes = str(Path(__file__).parent), (folder / "set.npy").stat().st_size
    peaks = [
        float(python("-c", PART, here, folder, part, at=folder).rsplit("peak", 1)[1])
        for part in ("0", "1")
    ]
    files = [file for file in (folder / "set.zarr").rglob("*") if file.is_file()]
    about = {
        "set": name,
        "images": count,
        "stored_share": sum(file.stat().st_size for file in files) / values_bytes,
        "limit_gib": values_bytes / 8 / 2**30,
        "loader_peak_gib": peaks[1] - peaks[0],
    }
    benchmark.compare(turns, "numpy.memmap", **about)
    faster = ratio(turns["numpy.memmap"], turns["loader"])
    benchmark.find(f"shuffled batches of 128 against numpy.memmap, {name}", faster, TARGET)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments)
    # A multiple of the batch size, so that no epoch ends with a partial batch.
    count = 16_384 if benchmark.options.quick else 131_072
    for name in SETS:
        with tempfile.TemporaryDirectory() as folder:
            measure(benchmark, Path(folder), count, name)
    benchmark.finish()


if __name__ == "__main__":
    main()
