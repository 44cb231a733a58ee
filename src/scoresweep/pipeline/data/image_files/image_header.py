"""Read the properties of an image file before decoding its pixels."""

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

from scoresweep.pipeline.data.image_files.bit_depth import HIGH_BIT_MODES, has_high_bit_depth
from scoresweep.pipeline.data.image_files.file_tree import File
from scoresweep.pipeline.data.image_files.pillow_formats import READABLE
from scoresweep.pipeline.errors import InputError

__all__ = [
    "GREY_MODES",
    "DecodeOptions",
    "Frames",
    "ImageHeader",
    "Resample",
    "composite_on_white",
    "exif_orientation",
    "has_warned",
    "open_image",
    "read_header",
    "record_warnings",
]

Frames = Literal["first", "all"]
Resample = Literal["lanczos", "bilinear"]

GREY_MODES = {"1", "L", "LA", "La"}
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError),
    *(OverflowError, RuntimeError, ZeroDivisionError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
"""Exceptions of Pillow for files that are damaged or not images."""


@dataclass(frozen=True)
class DecodeOptions:
    """Options of the study that change how images are decoded."""

    size: int | None = None
    """Side in pixels after a centre crop to a square; None: no resize."""
    range: tuple[float, float] | None = None
    """Values of black and white; None: those of 8 bits."""
    frames: Frames | None = None
    """Frames to read from multi-frame files; None: refuse such files."""
    crop: int | None = None
    """Side in pixels of the centre crop; None: with `size`, the largest square."""
    resample: Resample = "lanczos"
    """Filter of the resize."""


@dataclass(frozen=True)
class ImageHeader:
    """Properties of an image file."""

    is_grey: bool
    has_high_bit_depth: bool
    """Whether a channel has more than 8 bits."""
    frames: int
    """Number of frames to read."""
    notes: list[str]
    """Messages for the user, to follow "N of M files"."""


class _Warnings(threading.local):
    """Warnings of Pillow since this thread last opened a file."""

    def __init__(self) -> None:
        self.messages: list[str] = []


_warnings = _Warnings()


@contextmanager
def record_warnings() -> Iterator[None]:
    """Record Pillow's warnings per thread instead of printing them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: _warnings.messages.append(str(message))
        yield


def has_warned(text: str) -> bool:
    """Return whether Pillow has warned about `text` since this thread last opened a file."""
    return any(text in message for message in _warnings.messages)


@contextmanager
def open_image(file: File) -> Iterator[ImageFile.ImageFile]:
    """Open an image file; errors of Pillow become `InputError`."""
    _warnings.messages.clear()
    try:
        with Image.open(file.content(), formats=READABLE) as image:
            yield image
    except UnidentifiedImageError as error:
        raise InputError(
            f"{file.where}: is not an image of a supported format. Convert it to PNG, or remove it."
        ) from error
    except DECODE_ERRORS as error:
        raise InputError(
            f"{file.where}: cannot be read as an image ({error}). Copy it again, or remove it."
        ) from error


def read_header(file: File, options: DecodeOptions) -> ImageHeader:
    """Read the properties of an image file."""
    with open_image(file) as image:
        notes: list[str] = []
        frames = _count_frames(image, file, options, notes)
        is_deep = has_high_bit_depth(image, file.where)
        if is_deep and options.range is None:
            raise InputError(_range_message(image, file))
        is_grey = _is_grey(image)
        for index in range(1, frames):
            image.seek(index)
            if has_high_bit_depth(image, file.where) != is_deep:
                raise InputError(
                    f"{file.where}: frame {index} has another bit depth than frame 0. Save the "
                    f"frames as separate files, or set dataset.frames: first."
                )
            is_grey = is_grey and _is_grey(image)
        if has_warned("Invalid APNG"):
            raise InputError(f"{file.where}: is a damaged animation (APNG). Save it again.")
        if image.mode == "CMYK":
            notes.append("are in CMYK and are converted to RGB without a colour profile")
        if profile := _profile(image.info.get("icc_profile")):
            notes.append(f"have a colour profile ({profile}), which is not applied")
        return ImageHeader(is_grey, is_deep, frames, notes)


def _count_frames(
    image: ImageFile.ImageFile, file: File, options: DecodeOptions, notes: list[str]
) -> int:
    """Return the number of frames to read."""
    count = int(getattr(image, "n_frames", 1))
    if image.format == "MPO":  # a JPEG with previews, a depth map or a stereo image
        notes.append("contain more than one picture (MPO); only the first is read")
    elif count > 1 and options.frames is None:
        raise InputError(
            f"{file.where}: has {count} frames or pages. Set dataset.frames to first, or to all to "
            f"make every frame a sample."
        )
    elif options.frames == "all":
        return count
    return 1


def _range_message(image: ImageFile.ImageFile, file: File) -> str:
    found = ""
    if image.mode != "RGB" and image.mode != "RGBA":
        values = np.asarray(image)
        found = f" The values of this file range from {values.min():g} to {values.max():g}."
    return (
        f"{file.where}: has more than 8 bits per channel. Set dataset.range: [low, high], the "
        f"values of black and white ([0, 65535] for full 16-bit images).{found}"
    )


def _is_grey(image: ImageFile.ImageFile) -> bool:
    """Return whether an image has no colour; for palette images, whether its pixels have none."""
    if image.mode in GREY_MODES or image.mode in HIGH_BIT_MODES:
        return True
    if image.mode not in ("P", "PA") and image.format != "GIF":
        return False
    pixels = np.asarray(composite_on_white(image).convert("RGB"))
    return bool((pixels == pixels[..., :1]).all())


def exif_orientation(image: ImageFile.ImageFile) -> int | None:
    """Return the EXIF orientation, 1 by default; None if the EXIF data is damaged."""
    try:
        image.load()  # PNG stores EXIF data after the pixels
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DECODE_ERRORS:
        return None


@functools.lru_cache(maxsize=16)
def _profile(profile: bytes | None) -> str | None:
    """Return the name of a colour profile; None for sRGB or no profile."""
    if not profile:
        return None
    try:
        name = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, *DECODE_ERRORS):
        return "damaged"
    return None if "srgb" in name.lower() else name[:40]


def composite_on_white(image: Image.Image) -> Image.Image:
    """Composite an image with transparency onto white."""
    if not image.has_transparency_data:
        return image
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
