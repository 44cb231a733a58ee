"""A user's own images: a folder or a zip archive of image files."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import numpy as np

from scoresweep.console import say
from scoresweep.data.sources.decoding import Frames, Options, read_images
from scoresweep.data.sources.formats import expect
from scoresweep.data.sources.listing import Splits, list_images
from scoresweep.data.sources.own import own_files
from scoresweep.data.sources.tree import read_tree
from scoresweep.data.staged import Staged, hold_out
from scoresweep.data.store import Split

__all__ = ["read_folder"]


def read_folder(
    path: Path,
    size: int | None = None,
    test_fraction: float = 0.1,
    splits: Splits = "auto",
    range: tuple[float, float] | None = None,  # noqa: A002 - the name of the option
    frames: Frames | None = None,
) -> Staged:
    """Read the images of a folder or a zip archive.

    Sub-folders are classes, unless their names are those of splits (`train`, `testing`, ...): these
    hold the images or the classes. If there is no test split, `test_fraction` of each class is set
    aside. A `dataset.json`, as in the archives of StyleGAN and EDM, gives the classes instead.
    Images are stored in grey if all files are grey, otherwise in colour, transparent parts on
    white; with `size` they are cropped to a centred square and resized to that many pixels.

    Args:
        path: the folder or archive.
        size: pixels of a side; None: as the files have them, and all must have the same size.
        test_fraction: share of the images that is set aside.
        splits: "auto": by the names of folders; "none": every folder is a class; or the folder of
            each split.
        range: values of black and white in files with more than 8 bits a channel; None: such files
            are refused.
        frames: which frames of animations and multi-page files are read; None: they are refused.

    Raises:
        InputError: naming the file or folder that cannot be read or understood, or the image that
            has another size than the first.
    """
    expect(path, "folder")
    listing = list_images(read_tree(path), splits)
    files = list(chain.from_iterable(listing.splits.values()))
    images, counts, notes = read_images(files, Options(size, range, frames))
    parts, start, each = [], 0, iter(counts)
    for name, listed in listing.splits.items():
        own = list(islice(each, len(listed)))
        labels = None if listing.labels is None else np.repeat(listing.labels[name], own)
        stop = start + sum(own)
        parts.append(Split(images[start:stop], labels, (0.0, 255.0), listing.class_names))
        start = stop
    for note in [*listing.notes, *notes]:
        say(f"{path}: {note}")
    train, test = parts if len(parts) == 2 else hold_out(parts[0], test_fraction)
    return Staged(train, test, str(path), "your own", own_files(path))
