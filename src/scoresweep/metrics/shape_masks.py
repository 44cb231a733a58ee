"""Five shapes in pictures of 28×28 pixels: triangle, bar, concentric circles, disc and square.

A picture of a shape is uniform noise where the shape's mask is, and black elsewhere (Kondracki and
Le Bihan, "From score matching to score-based generative modeling", 2024, section 3.2; the
measurements of the shapes are ours). All pictures of a shape have the same mask, so that whatever
lies outside it is an error.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SHAPES", "SIDE", "masks"]

SHAPES = ("triangle", "bar", "circles", "disc", "square")
"""Name of each class, in the order of the masks."""

SIDE = 28
"""Pixels of a side."""


def masks() -> Tensor:
    """Return where each shape is, bool, shape (class, 28, 28).

    With x to the right and y downwards from −1 to 1 across the picture and r = √(x² + y²), measured
    at the centres of the pixels.
    """
    line = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    r = (x.square() + y.square()).sqrt()
    inside = {
        "triangle": (y < 0.7) & (y > 2 * x.abs() - 0.8),
        "bar": (x.abs() < 3 / 14) & (y.abs() < 11 / 14),
        "circles": ((r > 0.7) & (r < 0.9)) | ((r > 0.3) & (r < 0.5)),
        "disc": r < 0.6,
        "square": (x.abs() < 8 / 14) & (y.abs() < 8 / 14),
    }
    return torch.stack([inside[name] for name in SHAPES])
