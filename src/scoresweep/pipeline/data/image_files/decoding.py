"""Image files as arrays of one shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from scoresweep.pipeline.data.image_files.bit_depth import scale, scaled_depth
from scoresweep.pipeline.data.image_files.headers import (
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
from scoresweep.pipeline.data.image_files.tree import File
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.console import progress

__all__ = ["Decoded", "Frames", "Options", "read_images"]

Array = npt.NDArray[Any]
Result = TypeVar("Result")

BLOCK = 32
"""Files that a thread takes at a time; one by one, reading small files takes a third longer."""
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


@dataclass(frozen=True)
class Decoded:
    """The images of some files, one file after the other."""

    images: Array
    """(N, H, W, C): uint8 from 0 to 255 or, of files with more than 8 bits, float32 from 0 to 1."""
    counts: list[int]
    """How many of them each file gave."""
    notes: list[str]
    """What a user should know about the files."""

    def splits(
        self, files: Mapping[str, int], labels: Mapping[str, Any], names: list[str] | None
    ) -> dict[str, Split]:
        """Return the splits: `files` has the number of files of each, `labels` a class for each."""
        white = 255.0 if self.images.dtype == np.uint8 else 1.0
        counts, start, found = iter(self.counts), 0, {}
        for name, count in files.items():
            own = list(islice(counts, count))
            stop = start + sum(own)
            classes = np.repeat(labels[name], own) if name in labels else None
            found[name] = Split(self.images[start:stop], classes, (0.0, white), names)
            start = stop
        return found


def read_images(files: list[File], options: Options) -> Decoded:
    """Decode files into one array, in grey if all of them are.

    Raises `InputError` naming a file that cannot be read, or differs from the first in size or
    depth.
    """
    images: Array | None = None
    start = 0
    with heard(), _threads() as pool, progress("read images", len(files)) as advance:
        heads = list(_each(pool, lambda file: inspect(file, options), files))
        _check_depths(files, heads, options)
        grey, counts = all(head.grey for head in heads), [head.frames for head in heads]
        decode = partial(_decode, options=options, grey=grey)
        decoded = _each(pool, decode, files, heads)
        for file, frames in zip(files, decoded, strict=True):
            if images is None:
                images = np.empty((sum(counts), *frames.shape[1:]), frames.dtype)
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
    texts = [f"{count:,} of {len(files):,} files {note}" for note, count in notes.items()]
    return Decoded(images, counts, texts)


def _size(images: Array) -> str:
    return f"{images.shape[2]}×{images.shape[1]}"


def _each(
    pool: ThreadPoolExecutor, work: Callable[..., Result], *lists: list[Any]
) -> Iterator[Result]:
    """Yield what `work` makes of each item, in order; a thread takes `BLOCK` items at a time."""
    items = list(zip(*lists, strict=True))
    blocks = [items[start : start + BLOCK] for start in range(0, len(items), BLOCK)]
    for block in pool.map(lambda block: [work(*item) for item in block], blocks):
        yield from block


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


def _decode(file: File, head: Head, options: Options, grey: bool) -> Array:
    """Return the frames of a file, (K, H, W, C)."""
    frames: list[Array] = []
    is_damaged = False
    with opened(file) as image, opened(file) if head.deep else nullcontext(image) as again:
        for index in range(head.frames):
            if index:
                image.seek(index)
                again.seek(index)
            upright = orientation(image)
            is_damaged |= upright is None
            fit = partial(_fit, turn=TURNS.get(upright or 1), size=options.size)
            if head.deep and options.range is not None:
                values = scaled_depth(image, again, options.range, file.where)
                frames.append(_deep_pixels(values, fit, grey))
            else:
                flat = image if options.range is None else _scaled(image, options.range, file.where)
                values = np.asarray(fit(on_white(flat).convert("L" if grey else "RGB")))
                frames.append(values.reshape(*values.shape[:2], -1))
        if is_damaged or has_warned("EXIF"):
            head.notes.append("have damaged EXIF data and are taken to be upright")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{file.where}: its frames differ in size. Set dataset.size.")
    return np.stack(frames)


def _deep_pixels(values: Array, fit: Callable[[Image.Image], Image.Image], grey: bool) -> Array:
    """Return a deep frame (H, W, C) that `fit` has brought to its size, channel by channel."""
    bands = [np.asarray(fit(Image.fromarray(values[..., c]))) for c in range(values.shape[2])]
    frame = np.stack(bands, axis=-1).clip(0, 1)  # resizing goes beyond black and white
    return frame if grey or len(bands) > 1 else frame.repeat(3, axis=2)


def _fit(image: Image.Image, turn: Image.Transpose | None, size: int | None) -> Image.Image:
    """Return an image upright and, with `size`, cropped to a centred square and resized."""
    upright = image if turn is None else image.transpose(turn)
    if size is None:
        return upright
    side, (width, height) = min(upright.size), upright.size
    left, top = (width - side) // 2, (height - side) // 2
    square = upright.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _scaled(image: ImageFile.ImageFile, limits: tuple[float, float], where: str) -> Image.Image:
    """Return a frame of 8 bits scaled from `limits` to 0 … 255; its transparency stays as it is."""
    mode = "L" if image.mode in GREY else "RGB"
    values = np.asarray(image.convert("RGBA" if image.has_transparency_data else mode))
    colours = values[..., :3] if values.ndim == 3 else values
    bytes_ = np.rint(scale(colours, limits, where) * 255).astype(np.uint8)
    if values.ndim == 3 and values.shape[2] == 4:
        bytes_ = np.concatenate([bytes_, values[..., 3:]], axis=2)
    return Image.fromarray(bytes_)
