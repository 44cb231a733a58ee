"""Images side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scoresweep.pipeline.report.plots.style import WIDTH, styled

__all__ = ["enlarged_pixels", "pairs", "side_by_side"]

PIXELS_PER_INCH = 160


@styled
def pairs(grid: np.ndarray[Any, Any], rows: int) -> Figure:
    """Draw a grid (H, W[, 3]) of `rows` rows of images, each over a row of their neighbours."""
    figure = Figure(figsize=(WIDTH, 0.85 * WIDTH * grid.shape[0] / grid.shape[1]))
    panel = figure.add_subplot()
    panel.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    centres = (np.arange(2 * rows) + 0.5) * grid.shape[0] / (2 * rows)
    panel.set_yticks(centres, ["drawn", "nearest"] * rows)
    panel.set_xticks([])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.grid(False)
    return figure


@styled
def side_by_side(images: Sequence[tuple[str, np.ndarray[Any, Any]]]) -> Figure:
    """Draw images (H, W[, 3]), each under its title, without smoothing."""
    figure = Figure(figsize=(2.9 * len(images), 3.1))
    panels = figure.subplots(1, len(images), squeeze=False)[0]
    for panel, (title, image) in zip(panels, images, strict=True):
        panel.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        panel.set_title(title, loc="center")
        panel.set_axis_off()
    return figure


def enlarged_pixels(png: bytes) -> Figure:
    """Return a figure that is filled by the pixels of a PNG file, which a PDF keeps unchanged."""
    # Grey values through a colour map would differ by 1 here and there.
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    height, width = pixels.shape[:2]
    figure = Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(pixels, interpolation="none", aspect="auto")
    panel.set_axis_off()
    return figure
