"""Image files as arrays of one shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from scoresweep.console import progress
from scoresweep.data.sources.depth import full_depth, scale
from scoresweep.data.sources.heads import (
    GREY,
    Frames,
    Head,
    Options,
    has_warned,
    heard,
    inspect,
    on_white,
    opened,
    orientation,
)
from scoresweep.data.sources.tree import File
from scoresweep.errors import InputError

__all__ = ["Frames", "Options", "read_images"]

Array = npt.NDArray[Any]
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by EXIF's orientation."""


def read_images(
    files: list[File], options: Options
) -> tuple[npt.NDArray[np.uint8], list[int], list[str]]:
    """Decode files into one array.

    Returns the images (N, H, W, C), in grey if all of them are; how many of them each file gave;
    and what a user should know about the files.
    Raises `InputError` naming a file that cannot be read, or differs from the first in size or
    depth.
    """
    images: npt.NDArray[np.uint8] | None = None
    start = 0
    with heard(), _threads() as pool, progress("read images", len(files)) as advance:
        heads = list(pool.map(lambda file: inspect(file, options), files))
        _check_depths(files, heads, options)
        grey, counts = all(head.grey for head in heads), [head.frames for head in heads]
        decoded = pool.map(lambda file, head: _decode(file, head, options, grey), files, heads)
        for file, frames in zip(files, decoded, strict=True):
            if images is None:
                images = np.empty((sum(counts), *frames.shape[1:]), np.uint8)
            elif frames.shape[1:] != images.shape[1:]:
                raise InputError(
                    f"{file.where}: is {_size(frames)} pixels, but {files[0].where} is "
                    f"{_size(images)}. Set dataset.size to bring every image to one size."
                )
            images[start : start + len(frames)] = frames
            start += len(frames)
            advance(1)
    assert images is not None
    notes = Counter(note for head in heads for note in head.notes)
    return images, counts, [f"{count:,} of {len(files):,} files {n}" for n, count in notes.items()]


def _size(images: Array) -> str:
    return f"{images.shape[2]}×{images.shape[1]}"


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Give threads of which none begins with anything after an error."""
    pool = ThreadPoolExecutor()
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _check_depths(files: list[File], heads: list[Head], options: Options) -> None:
    """Raise `InputError` if one range is to hold for files of different depths."""
    deep = [head.deep for head in heads]
    if options.range is not None and any(deep) and not all(deep):
        few, many = files[deep.index(False)], files[deep.index(True)]
        raise InputError(
            f"{few.where}: has 8 bits a channel and {many.where} has more: dataset.range cannot "
            f"hold for both."
        )


# ── pixels ──────────────────────────────────────────────────────────────────────────────────────


def _decode(file: File, head: Head, options: Options, grey: bool) -> npt.NDArray[np.uint8]:
    """Return the frames of a file, (K, H, W, C)."""
    frames = []
    with opened(file) as image, opened(file) if head.deep else nullcontext(image) as again:
        for index in range(head.frames):
            if index:
                image.seek(index)
                again.seek(index)
            frames.append(_pixels(image, again, head, options, file.where, grey))
        if orientation(image) is None or has_warned("EXIF"):
            head.notes.append("have damaged EXIF data and are taken to be upright")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{file.where}: its frames differ in size. Set dataset.size.")
    return np.stack(frames)


def _pixels(
    image: ImageFile.ImageFile,
    again: ImageFile.ImageFile,
    head: Head,
    options: Options,
    where: str,
    grey: bool,
) -> npt.NDArray[np.uint8]:
    """Return a frame (H, W, C): upright, on white, cropped and resized."""
    flat: Image.Image = image
    if options.range is not None:
        flat = _scaled(image, again if head.deep else None, options.range, where)
    turn = TURNS.get(orientation(image) or 1)
    flat = on_white(flat if turn is None else flat.transpose(turn))
    flat = flat.convert("L" if grey else "RGB")
    if options.size is not None:
        side, (width, height) = min(flat.size), flat.size
        left, top = (width - side) // 2, (height - side) // 2
        flat = flat.crop((left, top, left + side, top + side))
        flat = flat.resize((options.size, options.size), Image.Resampling.LANCZOS)
    values = np.asarray(flat)
    return values.reshape(*values.shape[:2], -1)


def _scaled(
    image: ImageFile.ImageFile,
    again: ImageFile.ImageFile | None,
    limits: tuple[float, float],
    where: str,
) -> Image.Image:
    """Return a frame in 8 bits, its values scaled from `limits`; transparency stays as it is."""
    if again is not None:
        values = full_depth(image, again)
    else:
        mode = "L" if image.mode in GREY else "RGB"
        values = np.asarray(image.convert("RGBA" if image.has_transparency_data else mode))
    if values.ndim == 2 or values.shape[2] < 4:
        return Image.fromarray(scale(values, limits, where))
    opacity = (values[..., 3:] >> (8 if again else 0)).astype(np.uint8)
    return Image.fromarray(np.concatenate([scale(values[..., :3], limits, where), opacity], 2))
