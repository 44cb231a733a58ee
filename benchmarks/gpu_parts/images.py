"""Images to train on and to measure: CIFAR-10 if it is on the machine, else synthetic ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["Images", "find_images"]

RECORD = 3073
"""Bytes of a record of the binary version: a label, and 3 × 32 × 32 pixels."""
TRAIN = [f"data_batch_{i}" for i in range(1, 6)]
TEST = "test_batch"
SYNTHETIC = 5000, 1000


@dataclass(frozen=True)
class Images:
    """Images as bytes on the CPU, (N, 3, 32, 32)."""

    train: Tensor
    test: Tensor
    source: str
    """What they are, with their number."""


def find_images(folder: Path | None, quick: bool) -> Images:
    """Return CIFAR-10 from `folder`, the cache or `data/` of the checkout, or synthetic images.

    A folder may hold some batches only, binary (`data_batch_1.bin`) or as PNG. Without the test
    batch, the last tenth of the images takes its place. `quick` reads one batch at most.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = [cache / "scoresweep" / "cifar10"] if folder is None else [folder]
    for place in places:
        for suffix, read in READERS.items():
            found = [path for name in TRAIN if (path := place / f"{name}{suffix}").exists()]
            if found:
                test = place / f"{TEST}{suffix}"
                return _of_files(found[:1] if quick else found, test, read)
    store = Path(__file__).parents[2] / "data" / "cifar10.zarr"
    if folder is None and store.exists() and not quick:
        return _of_store(store)
    train, test = (_synthetic(count, seed) for seed, count in enumerate(SYNTHETIC))
    return Images(train, test, f"{len(train):,} synthetic images, not CIFAR-10")


def _of_files(paths: list[Path], test: Path, read: Callable[[Path], Tensor]) -> Images:
    train = torch.cat([read(path) for path in paths])
    if test.exists() and len(paths) > 1:
        return Images(train, read(test), f"{len(train):,} images of CIFAR-10")
    tenth = len(train) // 10
    source = f"{len(train) - tenth:,} images of CIFAR-10"
    return Images(train[:-tenth], train[-tenth:], source)


def _read_binary(path: Path) -> Tensor:
    records = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).view(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32)


def _read_png(path: Path) -> Tensor:
    """Read a picture in which each row is an image."""
    from PIL import Image

    with Image.open(path) as picture:
        content = bytearray(picture.convert("RGB").tobytes())
    pixels = torch.frombuffer(content, dtype=torch.uint8).view(-1, 32, 32, 3)
    return pixels.permute(0, 3, 1, 2).contiguous()


READERS = {".bin": _read_binary, ".png": _read_png}


def _of_store(store: Path) -> Images:
    from scoresweep.pipeline.data.dataset_store import read_split

    train, test = (
        torch.from_numpy(read_split(store, name).values).permute(0, 3, 1, 2).contiguous()
        for name in ("train", "test")
    )
    return Images(train, test, f"{len(train):,} images of CIFAR-10")


def _synthetic(count: int, seed: int) -> Tensor:
    """Return smooth backgrounds with a disk of another colour."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    background = interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=True)
    centre = 8 + 16 * torch.rand(count, 2, 1, 1, generator=generator)
    radius = 3 + 6 * torch.rand(count, 1, 1, generator=generator)
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    y, x = torch.arange(32.0)[:, None], torch.arange(32.0)
    inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < radius**2
    return (255 * torch.where(inside[:, None], colour, background)).to(torch.uint8)
