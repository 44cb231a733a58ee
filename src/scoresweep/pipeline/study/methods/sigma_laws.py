"""Laws of the noise level in training, by name."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import Labelled, MethodConfig

__all__ = ["AnySigmaLaw", "LogNormal", "LogUniform", "SigmaLaw"]


class SigmaLaw(Labelled, MethodConfig):
    """Base class of continuous laws of σ."""

    name: str


class LogUniform(SigmaLaw):
    """log σ is uniform between the ends of the ladder (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.objectives.sigma_laws:log_uniform"
    name: Literal["log_uniform"]


class LogNormal(SigmaLaw):
    """log σ is normal (Karras et al. 2022); its mean and standard deviation there are −1.2 and 1.2
    for pixels in [−1, 1], which for pixels in [0, 1] are −1.893 and 1.2."""

    target: ClassVar[str] = "scoresweep.objectives.sigma_laws:log_normal"
    name: Literal["log_normal"]
    mean: float
    """Mean of log σ, with σ in units of the data."""
    std: float = Field(gt=0)
    """Standard deviation of log σ."""


AnySigmaLaw = Annotated[LogUniform | LogNormal, Field(discriminator="name")]
