"""Training objectives, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import MethodConfig

__all__ = ["DSM", "ISM", "AnyObjective", "Sliced"]


class Objective(MethodConfig):
    """What is common to every objective.

    `projections` and `distribution` say which random directions its target takes as `v`; they are
    drawn for it, and no arguments of its own.
    """

    name: str
    weighting: Literal["sigma2", "sigma", "one"] = "sigma2"
    """Weight λ(σ) of a level: σ², σ or 1."""

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target."""
        drawn = ("projections", "distribution")
        return {key: value for key, value in super().arguments().items() if key not in drawn}

    @property
    def max_dimension(self) -> int | None:
        """Largest number of dimensions of the data that it is for."""
        return None

    def problems(self, dimension: int) -> Iterable[str]:
        """Say what is wrong with it on data of `dimension` dimensions."""
        if self.max_dimension is not None and dimension > self.max_dimension:
            yield (
                f"train.objective: {self.name}: takes one backward pass for each of the data's "
                f"{dimension:,} dimensions; expected {self.max_dimension:,} or fewer, or "
                f"allow_large: true (ssm_vr takes one pass in any number of dimensions)"
            )


class WithoutProjections(Objective):
    """What is common to objectives without random directions."""

    projections: ClassVar[int] = 0
    distribution: ClassVar[Literal["rademacher", "normal"]] = "rademacher"


class DSM(WithoutProjections):
    """Denoising score matching (Vincent 2011) over the ladder (Song and Ermon 2019, eq. 5–6)."""

    target: ClassVar[str] = "scoresweep.objectives:dsm"
    name: Literal["dsm"]
    control_variate: bool = False
    """Take away what has mean 0 and most of the variance at small σ (Song and Kingma 2021); costs
    the score at the clean samples too."""


class ISM(WithoutProjections):
    """Implicit score matching (Hyvärinen 2005): the exact trace, a backward pass a dimension."""

    target: ClassVar[str] = "scoresweep.objectives:ism"
    name: Literal["ism"]
    allow_large: bool = False
    """Go on with data of more than 4,096 dimensions."""

    @property
    def max_dimension(self) -> int | None:
        """Those of `scoresweep.objectives.ism`, unless more are allowed."""
        return None if self.allow_large else 4096


class Sliced(Objective):
    """What is common to both forms of sliced score matching (Song et al. 2019)."""

    projections: int = Field(1, ge=1)
    """Random directions for each sample; one backward pass each."""
    distribution: Literal["rademacher", "normal"] = "rademacher"
    """Their distribution: entries −1 and 1, or standard normal."""


class SSM(Sliced):
    """Sliced score matching (Song et al. 2019, eq. 7)."""

    target: ClassVar[str] = "scoresweep.objectives:ssm"
    name: Literal["ssm"]


class SSMVR(Sliced):
    """Sliced score matching with variance reduction (Song et al. 2019, eq. 8)."""

    target: ClassVar[str] = "scoresweep.objectives:ssm_vr"
    name: Literal["ssm_vr"]


AnyObjective = Annotated[DSM | SSM | SSMVR | ISM, Field(discriminator="name")]
