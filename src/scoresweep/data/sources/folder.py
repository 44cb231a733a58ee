"""People's own images: a folder of picture files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from scoresweep.console import progress
from scoresweep.data.sources.own import own_files
from scoresweep.data.staged import Staged, hold_out
from scoresweep.data.store import Split
from scoresweep.errors import InputError

__all__ = ["read_folder"]

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
GREY = {"1", "L", "LA"}
WIDE = {"F", "I", "I;16", "I;16B", "I;16L"}
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises on a file that is not an image, or not a whole one."""


@dataclass(frozen=True)
class Listing:
    """The image files of one split, in the order of their names."""

    files: list[Path]
    classes: list[str] | None
    """Class of each file; None where there are no classes."""


def read_folder(path: Path, size: int | None = None, test_fraction: float = 0.1) -> Staged:
    """Read a folder of images.

    Sub-folders are classes. Where there is a sub-folder `train`, it and `test` (if there is one)
    are the splits and hold the images or the classes; otherwise `test_fraction` of each class is
    set aside. Images are stored in grey if all of them are grey, else in colour, transparent parts
    on white; with `size` they are cropped to a centred square and resized to so many pixels.

    Raises `InputError` naming the file that cannot be read or has another size than the first.
    """
    if not path.is_dir():
        raise InputError(f"dataset.path: {path}: there is no such folder.")
    roots = [path / name for name in ("train", "test") if (path / "train").is_dir()] or [path]
    listings = [_list(root) for root in roots if root.is_dir()]
    files = [file for listing in listings for file in listing.files]
    images = _read_all(files, size)
    names = sorted({name for listing in listings for name in listing.classes or []})
    splits, start = [], 0
    for listing in listings:
        stop = start + len(listing.files)
        labels = None
        if names:
            if listing.classes is None:
                raise InputError(f"{path}: one of train and test has sub-folders, the other none.")
            labels = np.array([names.index(name) for name in listing.classes], np.int64)
        splits.append(Split(images[start:stop], labels, (0.0, 255.0), names or None))
        start = stop
    train, test = splits if len(splits) == 2 else hold_out(splits[0], test_fraction)
    return Staged(train, test, str(path), "your own", own_files(path))


def _list(root: Path) -> Listing:
    """List the images of one split."""
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    loose = _images(root.iterdir())
    found = {folder.name: _images(folder.rglob("*")) for folder in folders}
    in_classes = [file for files in found.values() for file in files]
    if loose and in_classes:
        raise InputError(
            f"{root}: has images beside sub-folders with images ({loose[0].name}, for one). "
            f"Sub-folders are classes: move the loose images into one."
        )
    if len(loose) + len(in_classes) < 2:
        raise InputError(
            f"{root}: holds fewer than two images. Files that end in "
            f"{', '.join(sorted(SUFFIXES))} are read."
        )
    if loose:
        return Listing(loose, None)
    return Listing(in_classes, [name for name, files in found.items() for _ in files])


def _images(entries: Any) -> list[Path]:
    return sorted(
        file
        for file in entries
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _read_all(files: list[Path], size: int | None) -> npt.NDArray[Any]:
    """Decode every image into one array (N, H, W, C)."""
    grey = all(_is_grey(file) for file in files)
    images: npt.NDArray[Any] | None = None
    with (
        ThreadPoolExecutor() as pool,
        progress("read images", len(files)) as advance,
    ):
        decoded = pool.map(lambda file: _decode(file, size, grey), files)
        for index, image in enumerate(decoded):
            if images is None:
                images = np.empty((len(files), *image.shape), np.uint8)
            elif image.shape != images.shape[1:]:
                pool.shutdown(cancel_futures=True)
                raise InputError(
                    f"{files[index]}: is {image.shape[1]}×{image.shape[0]} pixels, but {files[0]} "
                    f"is {images.shape[2]}×{images.shape[1]}. Set dataset.size to bring every "
                    f"image to one size."
                )
            images[index] = image
            advance(1)
    assert images is not None
    return images


def _is_grey(file: Path) -> bool:
    """Whether the head of an image file says that it has no colour."""
    try:
        with Image.open(file) as image:
            mode = image.mode
    except BROKEN as error:
        raise InputError(f"{file}: cannot be read as an image ({error}).") from error
    if mode in WIDE:
        raise InputError(f"{file}: has more than 8 bits a channel ({mode}); save it with 8.")
    return mode in GREY


def _decode(file: Path, size: int | None, grey: bool) -> npt.NDArray[Any]:
    """Return one image (H, W, C)."""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                over = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
            image = image.convert("L" if grey else "RGB")
    except BROKEN as error:
        raise InputError(f"{file}: cannot be read as an image ({error}).") from error
    if size is not None:
        side, (width, height) = min(image.size), image.size
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    values = np.asarray(image)
    return values.reshape(*values.shape[:2], -1)
