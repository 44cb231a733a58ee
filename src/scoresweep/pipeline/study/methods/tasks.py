"""What samples are drawn for, where it is not for their own sake."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import Config

__all__ = ["AnyTask", "Inpainting", "Interpolation"]


class Inpainting(Config):
    """Draw the hidden part of test samples of which the rest is given (NCSN, Algorithm 2)."""

    name: Literal["inpainting"]
    mask: Literal["right_half", "lower_half", "centre"]
    """The hidden part: of points "right_half" is the later half of the coordinates; "centre" has
    half the height and width of an image."""


class Interpolation(Config):
    """Rows of samples that turn smoothly from one into another (NCSNv2, appendix)."""

    name: Literal["interpolation"]
    steps: int = Field(8, ge=2)
    """Samples of a row."""


AnyTask = Annotated[Inpainting | Interpolation, Field(discriminator="name")]
