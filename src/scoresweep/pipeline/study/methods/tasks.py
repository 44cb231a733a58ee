"""Conditional sampling tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import Labelled

__all__ = ["AnyTask", "Inpainting", "Interpolation"]


class Inpainting(Labelled):
    """Sample the masked part of test samples, given the rest (NCSN, Algorithm 2)."""

    name: Literal["inpainting"]
    mask: Literal["right_half", "lower_half", "centre"]
    """The masked part. For points, "right_half" is the second half of the coordinates; "centre" has
    half the height and width of an image."""


class Interpolation(Labelled):
    """Rows of samples that interpolate smoothly between two samples (NCSNv2, appendix)."""

    name: Literal["interpolation"]
    steps: int = Field(8, ge=2)
    """Samples per row."""


AnyTask = Annotated[Inpainting | Interpolation, Field(discriminator="name")]
