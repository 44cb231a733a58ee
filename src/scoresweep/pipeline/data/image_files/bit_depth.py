"""Image files with more than 8 bits per channel, at full precision.

Pillow keeps 16 bits of grey images, but only the high byte of each channel of colour images.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from scoresweep.pipeline.errors import InputError

__all__ = ["HIGH_BIT_MODES", "has_high_bit_depth", "read_high_bit_depth", "scale_to_unit"]

Array = npt.NDArray[Any]

HIGH_BIT_MODES = {"F", "I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Pillow's grey modes with more than 8 bits."""
COLOUR_LAYOUTS = {"RGB;16B", "RGB;16L", "RGB;16N", "RGBA;16B", "RGBA;16L", "RGBA;16N"}
"""Raw modes of 16-bit colour of which Pillow can unpack either byte."""
WHITE_IS_ZERO = 0
PHOTOMETRIC = 262
"""TIFF tag PhotometricInterpretation."""


def has_high_bit_depth(image: ImageFile.ImageFile, where: str) -> bool:
    """Return whether a channel of an opened file has more than 8 bits.

    Raises `InputError` if it has and Pillow cannot read all of them.
    """
    layouts = {str(_layout(tile.args)) for tile in image.tile}
    is_deep = image.mode in HIGH_BIT_MODES or any(";16" in layout for layout in layouts)
    problem = ""
    if image.format == "PPM":
        is_deep = is_deep or any(isinstance(part, int) and part > 255 for part in _arguments(image))
        problem = "16-bit PPM and PGM"
    elif image.format == "JPEG2000":
        is_deep = _jpeg2000_bits(image) > 8
        problem = "JPEG 2000 with more than 8 bits"
    elif image.format == "SGI":
        is_deep = any(tile.codec_name == "SGI16" for tile in image.tile)
        problem = "16-bit SGI"
    elif image.mode not in HIGH_BIT_MODES and not layouts <= COLOUR_LAYOUTS:
        problem = f"16-bit files with the layout {', '.join(sorted(layouts))}"
    elif image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # type: ignore[attr-defined]
        problem = "TIFF in which 0 is white (WhiteIsZero)"
    elif "transparency" in image.info:
        problem = "16-bit files with a transparent colour"
    if is_deep and problem:
        raise InputError(
            f"{where}: has more than 8 bits per channel; {problem} cannot be read. Save it as a "
            f"16-bit PNG or TIFF, grey or RGB, or with 8 bits."
        )
    return is_deep


def _layout(arguments: Any) -> Any:
    """Return the "raw mode" of Pillow: how the pixels of a tile are packed."""
    return arguments[0] if isinstance(arguments, tuple) and arguments else arguments


def _arguments(image: ImageFile.ImageFile) -> list[Any]:
    return [part for tile in image.tile if isinstance(tile.args, tuple) for part in tile.args]


def _jpeg2000_bits(image: ImageFile.ImageFile) -> int:
    """Return the largest bit depth of a channel, from the SIZ marker (ISO/IEC 15444-1, A.5.1)."""
    assert image.fp is not None  # closed once the pixels are read
    image.fp.seek(0)
    head = image.fp.read(1 << 20)
    start = head.find(b"\xff\x4f\xff\x51") + 4  # markers SOC and SIZ; then the segment's length
    count = int.from_bytes(head[start + 36 : start + 38])
    depths = head[start + 38 : start + 38 + 3 * count : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def read_high_bit_depth(
    image: ImageFile.ImageFile,
    second: ImageFile.ImageFile,
    limits: tuple[float, float],
    where: str,
) -> npt.NDArray[np.float32]:
    """Return an image scaled from `limits` to [0, 1], (H, W, 1 or 3), composited on white.

    `second` is a second handle of the same file. Raises `InputError` if a value lies outside
    `limits`.
    """
    values = _full_depth(image, second)
    values = values.reshape(*values.shape[:2], -1)
    scaled = scale_to_unit(values[..., :3], limits, where)
    if values.shape[2] == 4:
        opacity = values[..., 3:] / 65535
        scaled = scaled * opacity + 1 - opacity
    return scaled.astype(np.float32)


def _full_depth(image: ImageFile.ImageFile, second: ImageFile.ImageFile) -> Array:
    """Return the values of an image, (H, W) or (H, W, C).

    Pillow unpacks only the high byte of 16-bit colour. `second`, a second handle of the same file,
    is unpacked in the other byte order, which gives the low byte.
    """
    if image.mode in HIGH_BIT_MODES:
        return np.asarray(image)
    tiles = []
    for tile in second.tile:
        other = _other_order(str(_layout(tile.args)))
        arguments = (other, *tile.args[1:]) if isinstance(tile.args, tuple) else other
        tiles.append(tile._replace(args=arguments))
    second.tile = tiles
    high: Array = np.asarray(image).astype(np.uint16)
    low: Array = np.asarray(second)
    return high * 256 + low


def _other_order(layout: str) -> str:
    """Return the layout with the other byte order; N is this machine's byte order."""
    packing, order = layout[:-1], layout[-1]
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    return packing + ("B" if order == "L" else "L")


def scale_to_unit(
    values: Array, limits: tuple[float, float], where: str
) -> npt.NDArray[np.float64]:
    """Scale values from `limits` (black, white) to [0, 1].

    Raises `InputError` if a value is outside or NaN.
    """
    low, high = limits
    lowest, highest = float(values.min()), float(values.max())
    if not (low <= lowest and highest <= high):
        raise InputError(
            f"{where}: has values from {lowest:g} to {highest:g}, outside dataset.range: "
            f"[{low:g}, {high:g}]. Correct dataset.range, or clip the values."
        )
    return (values.astype(np.float64) - low) / (high - low)
