"""Sheets of sample images, as small PNG files."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from scoresweep.pipeline.data.split import Split

__all__ = ["COLUMNS", "nearest_images", "sample_grid", "tile", "tile_pairs", "trajectory_strip"]

SIDE = 320
"""Width in pixels that a sheet is enlarged to, in whole multiples."""

COLUMNS = 6
"""Images in a row; a sheet has as many rows."""

FRAMES = 10
"""Most states of an image on its way."""

BLOCK = 2048
"""Real images that are compared at a time."""

GAP = 1
"""Pixels between two images, before enlarging."""


def sample_grid(split: Split) -> bytes:
    """Return the first images of `split` as a PNG file.

    They are enlarged by a whole factor without smoothing, so that every pixel is seen as it is.
    """
    return _png(tile(split))


def nearest_images(drawn: Split, real: Split) -> np.ndarray[Any, Any]:
    """Return, for each drawn image, the index of the real one whose pixels are nearest (N,)."""
    wanted = _grey_values(drawn, slice(None))
    nearest, least = np.zeros(len(wanted), np.intp), np.full(len(wanted), np.inf)
    for start in range(0, len(real.values), BLOCK):
        block = _grey_values(real, slice(start, start + BLOCK))
        # ‖x − y‖² but for ‖x‖², which is the same for all y.
        squares = (block**2).sum(axis=1) - 2 * wanted @ block.T
        found = squares.min(axis=1)
        nearest = np.where(found < least, start + squares.argmin(axis=1), nearest)
        least = np.minimum(found, least)
    return nearest


def _grey_values(split: Split, rows: slice) -> np.ndarray[Any, Any]:
    """Return images as float64 (N, H·W·C) in [0, 1]."""
    low, high = split.pixel_range or (0.0, 255.0)
    images = split.values[rows].astype(np.float64)
    return (images.reshape(len(images), -1) - low) / (high - low)


def trajectory_strip(states: np.ndarray[Any, Any]) -> bytes:
    """Return images (K, L, C, H, W) in [0, 1] as a PNG file: K rows, each at most `FRAMES` long.

    Of more states those that lie evenly are shown, the first and the last among them.
    """
    count = min(FRAMES, states.shape[1])
    shown = np.linspace(0, states.shape[1] - 1, count).round().astype(int)
    frames = np.moveaxis(states[:COLUMNS, shown], 2, -1)
    images = (frames * 255).round().clip(0, 255).astype(np.uint8).reshape(-1, *frames.shape[2:])
    return _png(_plain(_tile(images, count)))


def _png(sheet: np.ndarray[Any, Any]) -> bytes:
    """Enlarge a sheet by a whole factor."""
    factor = max(1, round(SIDE / sheet.shape[1]))
    sheet = sheet.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    return buffer.getvalue()


def tile(split: Split) -> np.ndarray[Any, Any]:
    """Put the first images of `split` side by side: uint8 (H, W), or (H, W, 3) in colour."""
    return _plain(_tile(_bytes(split.first(COLUMNS**2)), COLUMNS))


def tile_pairs(upper: Split, lower: Split) -> np.ndarray[Any, Any]:
    """Put each image of `upper` over that of `lower`, in rows: uint8 (H, W[, 3])."""
    rows = math.ceil(len(upper.values) / COLUMNS)
    missing = rows * COLUMNS - len(upper.values)
    pair = np.stack([_bytes(upper), _bytes(lower)])
    pair = np.pad(pair, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0)), constant_values=128)
    shape = pair.shape[2:]
    rowwise = pair.reshape(2, rows, COLUMNS, *shape).swapaxes(0, 1).reshape(-1, *shape)
    return _plain(_tile(rowwise, COLUMNS))


def _bytes(split: Split) -> np.ndarray[Any, Any]:
    """Return images as uint8 (N, H, W, C), black 0 and white 255."""
    low, high = split.pixel_range or (0.0, 255.0)
    images = (split.values.astype(np.float32) - low) / (high - low) * 255
    return images.round().clip(0, 255).astype(np.uint8)


def _plain(sheet: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return (H, W, C) as (H, W) where it is grey, and without opacity."""
    return sheet[..., 0] if sheet.shape[-1] == 1 else sheet[..., :3]


def _tile(images: np.ndarray[Any, Any], columns: int) -> np.ndarray[Any, Any]:
    """Put (N, H, W, C) images side by side on mid-grey; missing ones stay empty."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels)
    sheet = np.full(shape, 128, dtype=np.uint8)
    for index, image in enumerate(images):
        top = index // columns * (height + GAP) + GAP
        left = index % columns * (width + GAP) + GAP
        sheet[top : top + height, left : left + width] = image
    return sheet
