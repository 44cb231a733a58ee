"""Grids of sample images as small PNG files."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from scoresweep.pipeline.data.split import Split

__all__ = ["COLUMNS", "nearest_images", "sample_grid", "tile", "tile_pairs", "trajectory_strip"]

SIDE = 320
"""Approximate width in pixels of an enlarged grid."""

COLUMNS = 6
"""Images in a row; a grid has as many rows."""

FRAMES = 10
"""Maximum number of states of a trajectory."""

BLOCK = 2048
"""Real images compared at a time."""

GAP = 1
"""Pixels between two images before enlarging."""


def sample_grid(split: Split) -> bytes:
    """Return the first images of `split` as a PNG file.

    They are enlarged by an integer factor without smoothing.
    """
    return _png(tile(split))


def nearest_images(drawn: Split, real: Split) -> np.ndarray[Any, Any]:
    """Return the index of the nearest real image in pixel space, for each drawn image (N,)."""
    targets = _grey_values(drawn, slice(None))
    nearest, least = np.zeros(len(targets), np.intp), np.full(len(targets), np.inf)
    for start in range(0, len(real.values), BLOCK):
        block = _grey_values(real, slice(start, start + BLOCK))
        # ‖x − y‖² minus ‖x‖², which is constant in y.
        squares = (block**2).sum(axis=1) - 2 * targets @ block.T
        closest = squares.min(axis=1)
        nearest = np.where(closest < least, start + squares.argmin(axis=1), nearest)
        least = np.minimum(closest, least)
    return nearest


def _grey_values(split: Split, rows: slice) -> np.ndarray[Any, Any]:
    """Return images as float64 (N, H·W·C) in [0, 1]."""
    low, high = split.pixel_range or (0.0, 255.0)
    images = split.values[rows].astype(np.float64)
    return (images.reshape(len(images), -1) - low) / (high - low)


def trajectory_strip(states: np.ndarray[Any, Any]) -> bytes:
    """Return images (K, L, C, H, W) in [0, 1] as a PNG file of K rows.

    If there are more than `FRAMES` states, evenly spaced ones are shown, first and last included.
    """
    count = min(FRAMES, states.shape[1])
    shown = np.linspace(0, states.shape[1] - 1, count).round().astype(int)
    frames = np.moveaxis(states[:COLUMNS, shown], 2, -1)
    images = (frames * 255).round().clip(0, 255).astype(np.uint8).reshape(-1, *frames.shape[2:])
    return _png(_drop_channels(_tile(images, count)))


def _png(grid: np.ndarray[Any, Any]) -> bytes:
    """Enlarge a grid by an integer factor and encode it."""
    factor = max(1, round(SIDE / grid.shape[1]))
    grid = grid.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, "PNG")
    return buffer.getvalue()


def tile(split: Split) -> np.ndarray[Any, Any]:
    """Arrange the first images of `split` in a grid: uint8 (H, W), or (H, W, 3) in colour."""
    return _drop_channels(_tile(_bytes(split.first(COLUMNS**2)), COLUMNS))


def tile_pairs(upper: Split, lower: Split) -> np.ndarray[Any, Any]:
    """Arrange pairs in rows, `upper` over `lower`: uint8 (H, W[, 3])."""
    rows = math.ceil(len(upper.values) / COLUMNS)
    missing = rows * COLUMNS - len(upper.values)
    pair = np.stack([_bytes(upper), _bytes(lower)])
    pair = np.pad(pair, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0)), constant_values=128)
    shape = pair.shape[2:]
    rowwise = pair.reshape(2, rows, COLUMNS, *shape).swapaxes(0, 1).reshape(-1, *shape)
    return _drop_channels(_tile(rowwise, COLUMNS))


def _bytes(split: Split) -> np.ndarray[Any, Any]:
    """Return images as uint8 (N, H, W, C), black 0 and white 255."""
    low, high = split.pixel_range or (0.0, 255.0)
    images = (split.values.astype(np.float32) - low) / (high - low) * 255
    return images.round().clip(0, 255).astype(np.uint8)


def _drop_channels(grid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Drop the channel axis of a grey image and the opacity of a coloured one."""
    return grid[..., 0] if grid.shape[-1] == 1 else grid[..., :3]


def _tile(images: np.ndarray[Any, Any], columns: int) -> np.ndarray[Any, Any]:
    """Arrange (N, H, W, C) images on mid-grey; places without an image stay empty."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels)
    grid = np.full(shape, 128, dtype=np.uint8)
    for index, image in enumerate(images):
        top = index // columns * (height + GAP) + GAP
        left = index % columns * (width + GAP) + GAP
        grid[top : top + height, left : left + width] = image
    return grid
