"""How many bits a channel of an image file has, and its values at full depth.

Pillow reads 16 bits of one channel, and keeps only the higher byte of each where there are several.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from scoresweep.pipeline.errors import InputError

__all__ = ["WIDE", "is_deep", "scale", "scaled_depth"]

Array = npt.NDArray[Any]

WIDE = {"F", "I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Pillow's modes of one channel with more than 8 bits."""
COLOUR = {"RGB;16B", "RGB;16L", "RGB;16N", "RGBA;16B", "RGBA;16L", "RGBA;16N"}
"""Layouts of 16-bit colour in a file of which Pillow can unpack either byte."""
WHITE_IS_ZERO = 0
PHOTOMETRIC = 262
"""TIFF's tag of what the values mean."""


def is_deep(image: ImageFile.ImageFile, where: str) -> bool:
    """Return whether a channel of an opened file has more than 8 bits.

    Raises `InputError` if it has, and its values cannot be read as they are.
    """
    layouts = {str(_layout(tile.args)) for tile in image.tile}
    deep = image.mode in WIDE or any(";16" in layout for layout in layouts)
    problem = ""
    if image.format == "PPM":
        deep = deep or any(isinstance(part, int) and part > 255 for part in _arguments(image))
        problem = "16-bit PPM and PGM"
    elif image.format == "JPEG2000":
        deep = _jpeg2000_bits(image) > 8
        problem = "JPEG 2000 of more than 8 bits"
    elif image.format == "SGI":
        deep = any(tile.codec_name == "SGI16" for tile in image.tile)
        problem = "16-bit SGI"
    elif image.mode not in WIDE and not layouts <= COLOUR:
        problem = f"16-bit files of the layout {', '.join(sorted(layouts))}"
    elif image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # type: ignore[attr-defined]
        problem = "deep TIFF in which 0 is white"
    elif "transparency" in image.info:
        problem = "16-bit files with a transparent colour"
    if deep and problem:
        raise InputError(
            f"{where}: has more than 8 bits a channel; {problem} cannot be read. Save it as a "
            f"16-bit PNG or TIFF, grey or RGB, or with 8 bits."
        )
    return deep


def _layout(arguments: Any) -> Any:
    """Return how a tile's pixels are packed, Pillow's "raw mode"."""
    return arguments[0] if isinstance(arguments, tuple) and arguments else arguments


def _arguments(image: ImageFile.ImageFile) -> list[Any]:
    return [part for tile in image.tile if isinstance(tile.args, tuple) for part in tile.args]


def _jpeg2000_bits(image: ImageFile.ImageFile) -> int:
    """Return the most bits of a channel, from the marker SIZ (ISO/IEC 15444-1, A.5.1)."""
    assert image.fp is not None  # not before the pixels are read
    image.fp.seek(0)
    head = image.fp.read(1 << 20)
    start = head.find(b"\xff\x4f\xff\x51") + 4  # SOC, SIZ; then the length of what follows
    count = int.from_bytes(head[start + 36 : start + 38])
    depths = head[start + 38 : start + 38 + 3 * count : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def scaled_depth(
    image: ImageFile.ImageFile,
    again: ImageFile.ImageFile,
    limits: tuple[float, float],
    where: str,
) -> npt.NDArray[np.float32]:
    """Return a deep image scaled from `limits` to [0, 1], (H, W, C) with C 1 or 3, on white.

    `again` is the same file opened once more. Raises `InputError` if a value lies outside `limits`.
    """
    values = _full_depth(image, again)
    values = values.reshape(*values.shape[:2], -1)
    scaled = scale(values[..., :3], limits, where)
    if values.shape[2] == 4:
        opacity = values[..., 3:] / 65535
        scaled = scaled * opacity + 1 - opacity
    return scaled.astype(np.float32)


def _full_depth(image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> Array:
    """Return the values of a deep image, (H, W) or (H, W, C).

    `again` is the same file opened once more. Of colour, Pillow's unpackers of one byte order take
    the higher byte of each value, so those of the other order take the lower one.
    """
    if image.mode in WIDE:
        return np.asarray(image)
    tiles = []
    for tile in again.tile:
        other = _other_order(str(_layout(tile.args)))
        arguments = (other, *tile.args[1:]) if isinstance(tile.args, tuple) else other
        tiles.append(tile._replace(args=arguments))
    again.tile = tiles
    higher: Array = np.asarray(image).astype(np.uint16)
    lower: Array = np.asarray(again)
    return higher * 256 + lower


def _other_order(layout: str) -> str:
    """Return the layout with the other order of bytes; N is the order of this machine."""
    packing, order = layout[:-1], layout[-1]
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    return packing + ("B" if order == "L" else "L")


def scale(values: Array, limits: tuple[float, float], where: str) -> npt.NDArray[np.float64]:
    """Map values from `limits`, those of black and white, to [0, 1].

    Raises `InputError` if a value lies outside or is NaN.
    """
    low, high = limits
    lowest, highest = float(values.min()), float(values.max())
    if not (low <= lowest and highest <= high):
        raise InputError(
            f"{where}: has values from {lowest:g} to {highest:g}, beyond dataset.range: "
            f"[{low:g}, {high:g}]."
        )
    return (values.astype(np.float64) - low) / (high - low)
