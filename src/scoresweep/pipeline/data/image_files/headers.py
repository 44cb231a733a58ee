"""What has to be known of an image file before its pixels are read."""

from __future__ import annotations

import functools
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from scoresweep.pipeline.data.image_files.bit_depth import WIDE, is_deep
from scoresweep.pipeline.data.image_files.listing import READABLE
from scoresweep.pipeline.data.image_files.tree import File
from scoresweep.pipeline.errors import InputError

__all__ = [
    "GREY",
    "Frames",
    "Head",
    "Options",
    "heard",
    "inspect",
    "on_white",
    "opened",
    "orientation",
]

Frames = Literal["first", "all"]

GREY = {"1", "L", "LA", "La"}
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError),
    *(OverflowError, RuntimeError, ZeroDivisionError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is not an image, or not a whole one."""


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


class _Heard(threading.local):
    """What Pillow has warned of since this thread opened its last file."""

    def __init__(self) -> None:
        self.messages: list[str] = []


_heard = _Heard()


@contextmanager
def heard() -> Iterator[None]:
    """Keep Pillow's warnings in `_heard`, thread by thread, instead of printing them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: _heard.messages.append(str(message))
        yield


def has_warned(text: str) -> bool:
    """Return whether Pillow has warned of `text` since this thread opened its last file."""
    return any(text in message for message in _heard.messages)


@contextmanager
def opened(file: File) -> Iterator[ImageFile.ImageFile]:
    """Open an image file; raise `InputError` if it or what is done with it fails."""
    _heard.messages.clear()
    try:
        with Image.open(file.content(), formats=READABLE) as image:
            yield image
    except UnidentifiedImageError as error:
        raise InputError(
            f"{file.where}: cannot be read as an image (its content is of no known format)."
        ) from error
    except BROKEN as error:
        raise InputError(f"{file.where}: cannot be read as an image ({error}).") from error


def inspect(file: File, options: Options) -> Head:
    """Read what has to be known of a file before its pixels."""
    with opened(file) as image:
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
        if has_warned("Invalid APNG"):
            raise InputError(f"{file.where}: is a damaged animation (APNG).")
        if image.mode == "CMYK":
            notes.append("are in CMYK and are converted to RGB without a colour profile")
        if profile := _profile(image.info.get("icc_profile")):
            notes.append(f"have a colour profile ({profile}), which is not applied")
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
    pixels = np.asarray(on_white(image).convert("RGB"))
    return bool((pixels == pixels[..., :1]).all())


def orientation(image: ImageFile.ImageFile) -> int | None:
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


def on_white(image: Image.Image) -> Image.Image:
    """Lay the transparent parts of an image on white."""
    if not image.has_transparency_data:
        return image
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
