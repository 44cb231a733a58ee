"""Masks for in-painting."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["MaskName", "inpainting_mask"]

MaskName = Literal["right_half", "lower_half", "centre"]


def inpainting_mask(hidden: MaskName, shape: tuple[int, ...]) -> Tensor:
    """Return a bool mask of `shape`: False for the hidden part, True for the known part.

    Args:
        hidden: "right_half": right half of an image, or second half of a point's coordinates;
            "lower_half": lower half of an image; "centre": central rectangle of half the height and
            width of an image.
        shape: (C, H, W) of an image, (D,) of a point.

    Raises:
        ValueError: if a part other than "right_half" is to be hidden in a point.
    """
    mask = torch.ones(shape, dtype=torch.bool)
    if hidden == "right_half":
        mask[..., shape[-1] // 2 :] = False
        return mask
    if len(shape) != 3:
        raise ValueError(f"mask {hidden!r} is for images; expected 'right_half' for points {shape}")
    height, width = shape[-2:]
    if hidden == "lower_half":
        mask[:, height // 2 :] = False
    else:
        top, left = height // 4, width // 4
        mask[:, top : top + height // 2, left : left + width // 2] = False
    return mask
