"""Options of noise ladders, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scoresweep.pipeline.study.config import Labelled, MethodConfig

__all__ = ["AnyNoise", "Explicit", "Geometric", "Karras", "Ladder", "NoiseLadder"]

Sigma = Annotated[float, Field(gt=0, lt=1e18)]  # its square is finite in float32

SigmaMax = Sigma | Literal["max_distance", "max_rms"]


class NoiseLadder(Labelled, MethodConfig):
    """Base class of noise ladders σ_1 > … > σ_L."""

    name: str

    def known_sigmas(self) -> list[float]:
        """Return σ_1 … σ_L, with infinity for levels that the options alone do not decide.

        Checks of a study use the known levels, those of a run all of them. By default none is
        known.
        """
        return [math.inf]


MAX_LEVELS = 1_000_000
"""Planning a study lists all levels."""


class Ladder(NoiseLadder):
    """Base class of ladders between two ends."""

    sigma_max: SigmaMax
    """Largest noise level σ_1, in units of the data (pixels in [0, 1]); "max_distance": the largest
    distance between two training samples (NCSNv2, Technique 1); "max_rms": that divided by √D."""
    sigma_min: Sigma
    """Smallest noise level σ_L, in units of the data."""
    levels: int = Field(ge=2, le=MAX_LEVELS)
    """Number of levels L."""

    @model_validator(mode="after")
    def _is_decreasing(self) -> Ladder:
        if isinstance(self.sigma_max, float) and self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min smaller than sigma_max, found {self.sigma_min:g} and {self.sigma_max:g}"
            )
        return self

    def known_sigmas(self) -> list[float]:
        """Return [inf, σ_L]: the levels between the ends are not known."""
        return [math.inf, self.sigma_min]

    def _spaced(self, sigma: Callable[[float, float, float], float]) -> list[float]:
        """Return `sigma(σ_1, σ_L, u)` for u = 0 … 1, or [inf, σ_L] if the data decide the rest."""
        first, last, levels = self.sigma_max, self.sigma_min, self.levels
        if isinstance(first, str) or isinstance(levels, str):
            return [math.inf, last]
        return [sigma(first, last, i / (levels - 1)) for i in range(levels)]


class Geometric(Ladder):
    """σ_i falls by the same factor from level to level."""

    target: ClassVar[str] = "scoresweep.noise:geometric"
    name: Literal["geometric"]
    levels: int | Literal["auto"] = Field(union_mode="left_to_right")  # type: ignore[assignment]
    """Number of levels L, 2 or more; "auto": the number by NCSNv2's Technique 2."""

    @model_validator(mode="after")
    def _has_two_levels(self) -> Geometric:
        if isinstance(self.levels, int) and not 2 <= self.levels <= MAX_LEVELS:
            raise ValueError(f"levels of 2 or more, at most {MAX_LEVELS:,}, found {self.levels}")
        return self

    def known_sigmas(self) -> list[float]:
        """Return σ_1 … σ_L, with infinity for levels that the data decide."""
        return self._spaced(lambda first, last, u: first * (last / first) ** u)


class Uniform(Ladder):
    """σ_i falls by the same amount from level to level."""

    target: ClassVar[str] = "scoresweep.noise:uniform"
    name: Literal["uniform"]

    def known_sigmas(self) -> list[float]:
        """Return σ_1 … σ_L, with infinity for levels that the data decide."""
        return self._spaced(lambda first, last, u: first + u * (last - first))


class Cosine(Ladder):
    """σ_i follows half a cosine wave: small steps at both ends."""

    target: ClassVar[str] = "scoresweep.noise:cosine"
    name: Literal["cosine"]

    def known_sigmas(self) -> list[float]:
        """Return σ_1 … σ_L, with infinity for levels that the data decide."""
        return self._spaced(
            lambda first, last, u: last + (first - last) * (1 + math.cos(math.pi * u)) / 2
        )


class Karras(Ladder):
    """σ_i^(1/ρ) falls by the same amount from level to level (Karras et al. 2022, eq. 5)."""

    target: ClassVar[str] = "scoresweep.noise:karras"
    name: Literal["karras"]
    rho: float = Field(7.0, gt=0)
    """Exponent ρ; a larger ρ puts more levels near sigma_min."""

    def known_sigmas(self) -> list[float]:
        """Return σ_1 … σ_L, with infinity for levels that the data decide."""
        root = 1 / self.rho
        return self._spaced(
            lambda first, last, u: (first**root + u * (last**root - first**root)) ** self.rho
        )


class Explicit(NoiseLadder):
    """A list of noise levels."""

    target: ClassVar[str] = "scoresweep.noise:explicit"
    name: Literal["explicit"]
    sigmas: list[Sigma] = Field(min_length=1)
    """σ_1 > … > σ_L, in units of the data; one level is enough."""

    @model_validator(mode="after")
    def _is_decreasing(self) -> Explicit:
        if any(low >= high for high, low in zip(self.sigmas, self.sigmas[1:], strict=False)):
            raise ValueError(f"sigmas that fall from each to the next, found {self.sigmas}")
        return self

    def known_sigmas(self) -> list[float]:
        """Return the levels as given."""
        return list(self.sigmas)


AnyNoise = Annotated[Geometric | Uniform | Cosine | Karras | Explicit, Field(discriminator="name")]
