"""Image files as arrays of one shape: what their heads say, and their pixels."""

from __future__ import annotations

import functools
import io
import struct
import threading
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from scoresweep.console import progress
from scoresweep.data.sources.depth import WIDE, full_depth, is_deep, scale
from scoresweep.data.sources.listing import READABLE
from scoresweep.data.sources.tree import File
from scoresweep.errors import InputError

__all__ = ["Frames", "Options", "read_images"]

Array = npt.NDArray[Any]
Frames = Literal["first", "all"]

GREY = {"1", "L", "LA", "La"}
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError),
    *(OverflowError, RuntimeError, ZeroDivisionError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is not an image, or not a whole one."""
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
class Options:
    """How files become images of one shape."""

    size: int | None = None
    """Pixels of a side after cropping to a centred square; None: as the file has them."""
    range: tuple[float, float] | None = None
    """Values of black and white; None: those of 8 bits."""
    frames: Frames | None = None
    """Which frames of a file with several; None: such a file is refused."""


@dataclass(frozen=True)
class Head:
    """What has to be known of a file before its pixels are read."""

    grey: bool
    deep: bool
    frames: int
    notes: list[str]


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
    with _warnings(), _threads() as pool, progress("read images", len(files)) as advance:
        heads = list(pool.map(lambda file: _inspect(file, options), files))
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


class _Heard(threading.local):
    """What Pillow has warned of while this thread read a file."""

    def __init__(self) -> None:
        self.messages: list[str] = []


_heard = _Heard()


@contextmanager
def _warnings() -> Iterator[None]:
    """Keep Pillow's warnings in `_heard`, thread by thread, instead of printing them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: _heard.messages.append(str(message))
        yield


@contextmanager
def _opened(file: File) -> Iterator[ImageFile.ImageFile]:
    """Open an image file; raise `InputError` if it or what is done with it fails."""
    try:
        with Image.open(file.content(), formats=READABLE) as image:
            yield image
    except UnidentifiedImageError as error:
        raise InputError(
            f"{file.where}: cannot be read as an image (its content is of no known format)."
        ) from error
    except BROKEN as error:
        raise InputError(f"{file.where}: cannot be read as an image ({error}).") from error


# ── heads ───────────────────────────────────────────────────────────────────────────────────────


def _inspect(file: File, options: Options) -> Head:
    """Read what has to be known of a file before its pixels."""
    _heard.messages.clear()
    with _opened(file) as image:
        notes: list[str] = []
        frames = _frame_count(image, file, options, notes)
        deep = is_deep(image, file.where)
        if deep and options.range is None:
            raise InputError(_ask_for_range(image, file))
        grey = _is_grey(image)
        for index in range(1, frames):
            image.seek(index)
            if is_deep(image, file.where) != deep:
                raise InputError(f"{file.where}: its frames differ in depth; save them apart.")
            grey = grey and _is_grey(image)
        if any("Invalid APNG" in text for text in _heard.messages):
            raise InputError(f"{file.where}: is a damaged animation (APNG).")
        if image.mode == "CMYK":
            notes.append("are in CMYK and are converted to RGB without a colour profile")
        if profile := _profile(image.info.get("icc_profile")):
            notes.append(f"have a colour profile ({profile}), which is not applied")
        damaged = _orientation(image) is None or any("EXIF" in text for text in _heard.messages)
        if damaged:
            notes.append("have damaged EXIF data and are taken to be upright")
        return Head(grey, deep, frames, notes)


def _frame_count(image: ImageFile.ImageFile, file: File, options: Options, notes: list[str]) -> int:
    """Return how many images a file gives."""
    count = int(getattr(image, "n_frames", 1))
    if image.format == "MPO":  # a camera's JPEG with previews, depth or the other eye's view
        notes.append("hold further pictures behind the main one (MPO), which are not read")
    elif count > 1 and options.frames is None:
        raise InputError(
            f"{file.where}: holds {count} frames or pages. Set dataset.frames: first, or all to "
            f"make each of them a sample."
        )
    elif options.frames == "all":
        return count
    return 1


def _ask_for_range(image: ImageFile.ImageFile, file: File) -> str:
    found = ""
    if image.mode != "RGB" and image.mode != "RGBA":
        values = np.asarray(image)
        found = f" Here the values go from {values.min():g} to {values.max():g}."
    return (
        f"{file.where}: has more than 8 bits a channel. Set dataset.range: [low, high], the values "
        f"that mean black and white ([0, 65535] if all 16 bits are used).{found}"
    )


def _is_grey(image: ImageFile.ImageFile) -> bool:
    """Return whether an image has no colour; of palettes, the colours that are used decide."""
    if image.mode in GREY or image.mode in WIDE:
        return True
    if image.mode not in ("P", "PA") and image.format != "GIF":
        return False
    pixels = np.asarray(_on_white(image).convert("RGB"))
    return bool((pixels == pixels[..., :1]).all())


def _orientation(image: ImageFile.ImageFile) -> int | None:
    """Return EXIF's orientation, 1 if there is none; None if the EXIF data are damaged."""
    try:
        image.load()  # PNG has them behind the pixels
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        return None


@functools.lru_cache(maxsize=16)
def _profile(profile: bytes | None) -> str | None:
    """Return the name of a colour profile; None if there is none, or sRGB's."""
    if not profile:
        return None
    try:
        name = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, *BROKEN):
        return "damaged"
    return None if "srgb" in name.lower() else name[:40]


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
    with _opened(file) as image, _opened(file) as again:
        for index in range(head.frames):
            if index:
                image.seek(index)
                again.seek(index)
            frames.append(_pixels(image, again, head, options, file.where, grey))
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
    turn = TURNS.get(_orientation(image) or 1)
    flat = _on_white(flat if turn is None else flat.transpose(turn))
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


def _on_white(image: Image.Image) -> Image.Image:
    """Lay the transparent parts of an image on white."""
    if not image.has_transparency_data:
        return image
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
