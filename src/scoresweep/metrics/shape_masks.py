"""Masks of five shapes in 28×28 pixels: triangle, bar, concentric circles, disc and square.

An image of a shape is uniform noise inside the mask of the shape and black outside (Kondracki and
Le Bihan, "From score matching to score-based generative modeling", 2024, section 3.2; the sizes of
the shapes are ours). All images of a shape have the same mask, so brightness outside it is an
error.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SHAPES", "SIDE", "masks"]

SHAPES = ("triangle", "bar", "circles", "disc", "square")
"""Name of each class, in the order of the masks."""

SIDE = 28
"""Side length, in pixels."""


def masks() -> Tensor:
    """Return the mask of each shape, bool, (class, 28, 28).

    At the centres of the pixels, x points right and y down, from −1 to 1, and r = √(x² + y²).
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
