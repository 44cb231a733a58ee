"""Decode image files into one array."""

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

from scoresweep.pipeline.data.image_files.bit_depth import read_high_bit_depth, scale_to_unit
from scoresweep.pipeline.data.image_files.file_tree import File
from scoresweep.pipeline.data.image_files.image_header import (
    GREY_MODES,
    DecodeOptions,
    Frames,
    ImageHeader,
    Resample,
    composite_on_white,
    exif_orientation,
    has_warned,
    open_image,
    read_header,
    record_warnings,
)
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.console import progress

__all__ = ["DecodeOptions", "DecodedImages", "Frames", "Resample", "read_images"]

Array = npt.NDArray[Any]
Result = TypeVar("Result")

BLOCK = 32
"""Files per task of a thread; with one file per task, small files take a third longer."""
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operation that turns an image upright, by EXIF orientation."""
FILTERS: dict[Resample, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
}
"""Filters of the resize; Pillow widens them when an image shrinks (antialiasing)."""


@dataclass(frozen=True)
class DecodedImages:
    """The images of a list of files, in order."""

    images: Array
    """(N, H, W, C): uint8 in [0, 255]; float32 in [0, 1] for files with more than 8 bits."""
    counts: list[int]
    """Number of images from each file."""
    notes: list[str]
    """Messages for the user."""

    def splits(
        self, files: Mapping[str, int], labels: Mapping[str, Any], names: list[str] | None
    ) -> dict[str, Split]:
        """Return the splits, given the number of files and the class of each file by split."""
        white = 255.0 if self.images.dtype == np.uint8 else 1.0
        counts, start, found = iter(self.counts), 0, {}
        for name, count in files.items():
            per_file = list(islice(counts, count))
            stop = start + sum(per_file)
            classes = np.repeat(labels[name], per_file) if name in labels else None
            found[name] = Split(self.images[start:stop], classes, (0.0, white), names)
            start = stop
        return found


def read_images(files: list[File], options: DecodeOptions) -> DecodedImages:
    """Decode files into one array, in grey if all files are grey.

    Raises `InputError` naming a file that cannot be read, or that differs from the first in size
    or bit depth.
    """
    images: Array | None = None
    start = 0
    with record_warnings(), _threads() as pool, progress("read images", len(files)) as advance:
        headers = list(_map(pool, lambda file: read_header(file, options), files))
        _check_depths(files, headers, options)
        counts = [header.frames for header in headers]
        decode = partial(_decode, options=options, grey=all(h.is_grey for h in headers))
        decoded = _map(pool, decode, files, headers)
        for file, frames in zip(files, decoded, strict=True):
            if images is None:
                images = np.empty((sum(counts), *frames.shape[1:]), frames.dtype)
            elif frames.shape[1:] != images.shape[1:]:
                raise InputError(
                    f"{file.where}: is {_size(frames)} pixels, but {files[0].where} is "
                    f"{_size(images)}. Set dataset.size to crop and resize all images."
                )
            images[start : start + len(frames)] = frames
            start += len(frames)
            advance(1)
    assert images is not None
    notes = Counter(note for header in headers for note in header.notes)
    texts = [f"{count:,} of {len(files):,} files {note}" for note, count in notes.items()]
    return DecodedImages(images, counts, texts)


def _size(images: Array) -> str:
    return f"{images.shape[2]}×{images.shape[1]}"


def _map(
    pool: ThreadPoolExecutor, work: Callable[..., Result], *lists: list[Any]
) -> Iterator[Result]:
    """Yield the results of `work`, in order; each task handles `BLOCK` items."""
    items = list(zip(*lists, strict=True))
    blocks = [items[start : start + BLOCK] for start in range(0, len(items), BLOCK)]
    for block in pool.map(lambda block: [work(*item) for item in block], blocks):
        yield from block


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a thread pool that cancels pending tasks at the end, such as after an error."""
    pool = ThreadPoolExecutor()
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _check_depths(files: list[File], headers: list[ImageHeader], options: DecodeOptions) -> None:
    """Raise `InputError` if `dataset.range` would apply to files of different bit depths."""
    deep = [header.has_high_bit_depth for header in headers]
    if options.range is not None and any(deep) and not all(deep):
        few, many = files[deep.index(False)], files[deep.index(True)]
        raise InputError(
            f"dataset.range: applies to one bit depth only, but {few.where} has 8 bits per channel "
            f"and {many.where} has more. Convert the files to one bit depth."
        )


def _decode(file: File, header: ImageHeader, options: DecodeOptions, grey: bool) -> Array:
    """Return the frames of a file, (K, H, W, C)."""
    frames: list[Array] = []
    is_damaged = False
    is_deep = header.has_high_bit_depth
    with open_image(file) as image, open_image(file) if is_deep else nullcontext(image) as second:
        for index in range(header.frames):
            if index:
                image.seek(index)
                second.seek(index)
            orientation = exif_orientation(image)
            is_damaged |= orientation is None
            transpose = TRANSPOSE.get(orientation or 1)
            fit = partial(_fit, transpose=transpose, options=options, where=file.where)
            if is_deep and options.range is not None:
                values = read_high_bit_depth(image, second, options.range, file.where)
                frames.append(_fit_channels(values, fit, grey))
            else:
                flat = image if options.range is None else _scaled(image, options.range, file.where)
                values = np.asarray(fit(composite_on_white(flat).convert("L" if grey else "RGB")))
                frames.append(values.reshape(*values.shape[:2], -1))
        if is_damaged or has_warned("EXIF"):
            header.notes.append("have damaged EXIF data; their orientation is ignored")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(
            f"{file.where}: its frames differ in size. Set dataset.size to crop and resize them."
        )
    return np.stack(frames)


def _fit_channels(values: Array, fit: Callable[[Image.Image], Image.Image], grey: bool) -> Array:
    """Apply `fit` to each channel of a frame (H, W, C) in [0, 1]."""
    bands = [np.asarray(fit(Image.fromarray(values[..., c]))) for c in range(values.shape[2])]
    frame = np.stack(bands, axis=-1).clip(0, 1)  # resizing overshoots
    return frame if grey or len(bands) > 1 else frame.repeat(3, axis=2)


def _fit(
    image: Image.Image, transpose: Image.Transpose | None, options: DecodeOptions, where: str
) -> Image.Image:
    """Turn an image upright; with `crop` or `size`, crop it to a centred square and resize it."""
    upright = image if transpose is None else image.transpose(transpose)
    size, crop = options.size, options.crop
    if size is None and crop is None:
        return upright
    side, (width, height) = crop or min(upright.size), upright.size
    if side > min(width, height):
        raise InputError(
            f"{where}: is {width}×{height} pixels, smaller than dataset.crop: {side}. Remove the "
            f"file, or set dataset.crop to at most {min(width, height)}."
        )
    left, top = (width - side) // 2, (height - side) // 2
    if crop is not None:  # as torchvision's CenterCrop: half a pixel is rounded to even
        left, top = round((width - side) / 2), round((height - side) / 2)
    square = upright.crop((left, top, left + side, top + side))
    return square if size is None else square.resize((size, size), FILTERS[options.resample])


def _scaled(image: ImageFile.ImageFile, limits: tuple[float, float], where: str) -> Image.Image:
    """Scale an 8-bit frame from `limits` to [0, 255]; transparency stays."""
    mode = "L" if image.mode in GREY_MODES else "RGB"
    values = np.asarray(image.convert("RGBA" if image.has_transparency_data else mode))
    colours = values[..., :3] if values.ndim == 3 else values
    bytes_ = np.rint(scale_to_unit(colours, limits, where) * 255).astype(np.uint8)
    if values.ndim == 3 and values.shape[2] == 4:
        bytes_ = np.concatenate([bytes_, values[..., 3:]], axis=2)
    return Image.fromarray(bytes_)
