"""User data: a folder or a zip archive of image files."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from scoresweep.pipeline.data.file_formats import require_format
from scoresweep.pipeline.data.image_files.decoding import (
    DecodeOptions,
    Frames,
    Resample,
    read_images,
)
from scoresweep.pipeline.data.image_files.file_tree import read_tree
from scoresweep.pipeline.data.image_files.listing import Splits, list_images
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset, user_dataset
from scoresweep.pipeline.system.console import say

__all__ = ["read_folder"]


def read_folder(
    path: Path,
    size: int | None = None,
    test_fraction: float = 0.1,
    splits: Splits = "auto",
    range: tuple[float, float] | None = None,  # noqa: A002 - the name of the option
    frames: Frames | None = None,
    crop: int | None = None,
    resample: Resample = "lanczos",
) -> LoadedDataset:
    """Read the images of a folder or a zip archive.

    Sub-folders are classes, or splits (`train`, `testing`, ...) that contain images or classes. If
    there is no test split, `test_fraction` of each class becomes one. A `dataset.json`, as in the
    archives of StyleGAN and EDM, defines the classes instead. Images are stored in grey if all
    files are grey, otherwise in colour; transparency is composited on white.

    Args:
        path: the folder or archive.
        size: side in pixels after a centre crop to a square; None: no resize, so that all files
            must have one size unless `crop` is given.
        test_fraction: share of the images that become the test split.
        splits: "auto": by folder names; "none": every folder is a class; or the folder of each
            split.
        range: values of black and white; None: those of 8 bits, and files with more bits are
            refused.
        frames: frames of animations and multi-page files to read; None: such files are refused.
        crop: side in pixels of the centre crop; None: with `size`, the largest square.
        resample: filter of the resize.

    Raises:
        InputError: naming the file or folder that cannot be read or is ambiguous, or the image
            that differs from the first in size.
    """
    require_format(path, "folder")
    listing = list_images(read_tree(path), splits)
    files = list(chain.from_iterable(listing.splits.values()))
    decoded = read_images(files, DecodeOptions(size, range, frames, crop, resample))
    for note in [*listing.notes, *decoded.notes]:
        say(f"{path}: {note}")
    counts = {split: len(listed) for split, listed in listing.splits.items()}
    parts = decoded.splits(counts, listing.labels or {}, listing.class_names)
    return user_dataset(path, parts, test_fraction)
