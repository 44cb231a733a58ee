"""Sheets of sample images, as small PNG files."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from scoresweep.data.store import Split

__all__ = ["contact_sheet"]

SIDE = 320
"""Width in pixels that a sheet is enlarged to, in whole multiples."""

GAP = 1
"""Pixels between two images, before enlarging."""


def contact_sheet(split: Split, columns: int = 6) -> bytes:
    """Return the first images of `split`, `columns` × `columns` of them, as a PNG file.

    Images are enlarged by a whole factor without smoothing, so that every pixel is seen as it is.
    """
    low, high = split.pixel_range or (0.0, 255.0)
    images = split.values[: columns * columns].astype(np.float32)
    grey = ((images - low) / (high - low) * 255).round().clip(0, 255).astype(np.uint8)
    sheet = _tile(grey, columns)
    factor = max(1, round(SIDE / sheet.shape[1]))
    sheet = sheet.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet[..., :3]).save(buffer, "PNG")
    return buffer.getvalue()


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
