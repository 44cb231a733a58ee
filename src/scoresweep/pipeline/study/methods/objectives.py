"""Training objectives, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import Labelled, MethodConfig

__all__ = ["DSM", "ISM", "AnyObjective", "Objective", "Sliced", "Weighted"]


class Objective(Labelled, MethodConfig):
    """Base class of objectives.

    `projections` and `distribution` describe the random directions that the trainer draws and
    passes to the target as `v`; they are not arguments of the target.
    """

    name: str

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target."""
        of_trainer = ("projections", "distribution")
        return {key: value for key, value in super().arguments().items() if key not in of_trainer}

    @property
    def max_dimension(self) -> int | None:
        """Maximum dimension of the data; None: no limit."""
        return None

    def problems(self, dimension: int) -> Iterable[str]:
        """Yield what is wrong with the options for data of `dimension` dimensions."""
        if self.max_dimension is not None and dimension > self.max_dimension:
            yield (
                f"train.objective: {self.name}: needs one backward pass for each of the "
                f"{dimension:,} dimensions; expected {self.max_dimension:,} or fewer, "
                f"allow_large: true, or the objective ssm_vr, which needs one pass in any dimension"
            )


class Weighted(Objective):
    """Base class of objectives with a weighting by the noise level."""

    used_only_with: ClassVar[Mapping[str, tuple[str, Any]]] = {"data_std": ("weighting", "edm")}
    weighting: Literal["sigma2", "sigma", "one", "edm"] = "sigma2"
    """Loss weighting λ(σ): σ², σ, 1, or "edm": σ² (1 + σ²/s²) (Karras et al. 2022)."""
    data_std: float = Field(0.5, gt=0)
    """s of the weighting "edm", the standard deviation of the data; 0.25 is that of Karras et al.
    for pixels in [0, 1]."""


class WithoutProjections(Weighted):
    """Base class of objectives without random projections."""

    projections: ClassVar[int] = 0
    distribution: ClassVar[Literal["rademacher", "normal"]] = "rademacher"


class DSM(WithoutProjections):
    """Denoising score matching (Vincent 2011; Song and Ermon 2019, eq. 5–6)."""

    target: ClassVar[str] = "scoresweep.objectives:dsm"
    name: Literal["dsm"]
    control_variate: bool = False
    """Subtract a control variate, which reduces the variance at small σ (Song and Kingma 2021);
    also evaluates the score at the clean samples."""


class ISM(WithoutProjections):
    """Implicit score matching (Hyvärinen 2005): exact trace, one backward pass per dimension."""

    target: ClassVar[str] = "scoresweep.objectives:ism"
    name: Literal["ism"]
    allow_large: bool = False
    """Allow data of more than 4,096 dimensions."""

    @property
    def max_dimension(self) -> int | None:
        """The limit of `scoresweep.objectives.ism`; None if `allow_large`."""
        return None if self.allow_large else 4096


class Sliced(Weighted):
    """Base class of sliced score matching (Song et al. 2019)."""

    projections: int = Field(1, ge=1)
    """Random projections per sample; one backward pass each."""
    distribution: Literal["rademacher", "normal"] = "rademacher"
    """Distribution of the projections: entries ±1, or standard normal."""


class SSM(Sliced):
    """Sliced score matching (Song et al. 2019, eq. 7)."""

    target: ClassVar[str] = "scoresweep.objectives:ssm"
    name: Literal["ssm"]


class SSMVR(Sliced):
    """Sliced score matching with variance reduction (Song et al. 2019, eq. 8)."""

    target: ClassVar[str] = "scoresweep.objectives:ssm_vr"
    name: Literal["ssm_vr"]


AnyObjective = Annotated[DSM | SSM | SSMVR | ISM, Field(discriminator="name")]
