"""Animated PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from PIL import Image

from scoresweep.pipeline.report.plots.style import png

__all__ = ["animation"]

FRAME, LAST = 200, 2000
"""Milliseconds that a frame is shown, and the last one."""

COLOURS = 16
"""Number of colours of all frames: fewer make a smaller file."""


def animation(figures: Sequence[Figure], dpi: int = 72) -> bytes:
    """Return figures of one size as the frames of one PNG file, played in a loop."""
    images = [Image.open(io.BytesIO(png(figure, dpi))).convert("RGB") for figure in figures]
    palette = images[-1].quantize(COLOURS)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    durations = [*[FRAME] * len(others), LAST]
    first.save(buffer, "PNG", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()
