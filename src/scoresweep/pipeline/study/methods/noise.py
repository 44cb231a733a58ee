"""Noise ladders, by name."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scoresweep.pipeline.study.config import MethodConfig

__all__ = ["AnyNoise", "Explicit", "Geometric", "Karras"]

Sigma = Annotated[float, Field(gt=0)]

SigmaMax = Sigma | Literal["max_distance", "max_rms"]


class Ladder(MethodConfig):
    """What is common to ladders σ_1 > … > σ_L between two ends."""

    sigma_max: SigmaMax
    """Largest noise level σ_1, in units of the data (pixels in [0, 1]); "max_distance": the largest
    distance between two training samples (NCSNv2, Technique 1); "max_rms": that divided by √D."""
    sigma_min: Sigma
    """Smallest noise level σ_L, in units of the data."""
    levels: int = Field(ge=2)
    """Number of levels L."""

    @model_validator(mode="after")
    def _falls(self) -> Ladder:
        if isinstance(self.sigma_max, float) and self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min smaller than sigma_max, found {self.sigma_min:g} and {self.sigma_max:g}"
            )
        return self


class Geometric(Ladder):
    """σ_i falls by the same factor from level to level."""

    target: ClassVar[str] = "scoresweep.noise:geometric"
    name: Literal["geometric"]
    levels: int | Literal["auto"] = Field(union_mode="left_to_right")  # type: ignore[assignment]
    """Number of levels L, 2 or more; "auto": as many as NCSNv2's Technique 2 asks for."""

    @model_validator(mode="after")
    def _two_levels(self) -> Geometric:
        if isinstance(self.levels, int) and self.levels < 2:
            raise ValueError(f"levels of 2 or more, found {self.levels}")
        return self


class Uniform(Ladder):
    """σ_i falls by the same amount from level to level."""

    target: ClassVar[str] = "scoresweep.noise:uniform"
    name: Literal["uniform"]


class Cosine(Ladder):
    """σ_i follows half a cosine wave: slow steps at both ends."""

    target: ClassVar[str] = "scoresweep.noise:cosine"
    name: Literal["cosine"]


class Karras(Ladder):
    """σ_i^(1/ρ) falls by the same amount from level to level (Karras et al. 2022, eq. 5)."""

    target: ClassVar[str] = "scoresweep.noise:karras"
    name: Literal["karras"]
    rho: float = Field(7.0, gt=0)
    """Exponent ρ: larger means more levels near sigma_min."""


class Explicit(MethodConfig):
    """A list of noise levels, written out."""

    target: ClassVar[str] = "scoresweep.noise:explicit"
    name: Literal["explicit"]
    sigmas: list[Sigma] = Field(min_length=1)
    """σ_1 > … > σ_L, in units of the data; one is enough."""

    @model_validator(mode="after")
    def _falls(self) -> Explicit:
        if any(low >= high for high, low in zip(self.sigmas, self.sigmas[1:], strict=False)):
            raise ValueError(f"sigmas that fall from each to the next, found {self.sigmas}")
        return self


AnyNoise = Annotated[Geometric | Uniform | Cosine | Karras | Explicit, Field(discriminator="name")]
