"""Synthetic datasets, identical on every machine."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scoresweep.pipeline.study.methods.dataset_base import Dataset, Size

__all__ = ["GaussianMixtureData", "Moons", "Shapes", "SwissRoll"]

Share = Annotated[float, Field(ge=0, le=1)]

Positive = Annotated[float, Field(gt=0)]

Points = Annotated[list[Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]


class SyntheticData(Dataset):
    """Base class of synthetic datasets."""

    train_count: int = Field(10_000, ge=2)
    """Number of training samples."""
    test_count: int = Field(2_000, ge=2)
    """Number of test samples."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the samples."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample in model space."""
        raise NotImplementedError

    @property
    def known_size(self) -> Size:
        """Shape of a sample and number of samples."""
        return self.shape, self.train_count + self.test_count


class GaussianMixtureData(SyntheticData):
    """Points from a mixture of isotropic Gaussians, whose score is known exactly."""

    target: ClassVar[str] = (
        "scoresweep.pipeline.data.sources.gaussian_mixture:draw_gaussian_mixture"
    )
    name: Literal["gaussian_mixture"]
    weights: list[Positive] | None = None
    """Weight of each component, normalised to sum to 1; null: equal weights."""
    means: Points | None = None
    """Mean of each component; null: (±3, ±3), four modes in two dimensions."""
    stds: Positive | list[Positive] = 0.5
    """Standard deviation of all components, or of each."""
    dimension: int | None = Field(None, ge=1)
    """Dimension to which the means are padded with zeros; null: the dimension of the means."""

    @model_validator(mode="after")
    def _fits(self) -> GaussianMixtureData:
        points = 4 if self.means is None else len(self.means)
        lengths = {2} if self.means is None else {len(mean) for mean in self.means}
        if len(lengths) > 1:
            raise ValueError(f"means of equal dimension, found dimensions {sorted(lengths)}")
        for key in ("weights", "stds"):
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != points:
                raise ValueError(f"as many {key} as means, {points}, found {len(value)}")
        if self.dimension is not None and self.dimension < max(lengths):
            raise ValueError(f"dimension of {max(lengths)} or more, found {self.dimension}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (self.dimension or (2 if self.means is None else len(self.means[0])),)


class Shapes(SyntheticData):
    """Images of five shapes filled with uniform noise, 28×28 greyscale: triangle, bar, circles,
    disc and square (Kondracki and Le Bihan 2024)."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.shapes:draw_shapes"
    name: Literal["shapes"]
    shares: dict[Literal["triangle", "bar", "circles", "disc", "square"], Share] | None = None
    """Share of each class in [0, 1]; classes not named share the rest equally; null: all equal."""
    test_count: int = Field(1_000, ge=2)
    """Number of test samples."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Shapes:
        if self.shares is not None:
            total, every = sum(self.shares.values()), len(self.shares) == 5
            if total > 1 + 1e-9 or (every and total < 1 - 1e-9):
                expected = "1" if every else "1 or less"
                raise ValueError(f"shares that sum to {expected}, found {total:g}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        return (1, 28, 28)


class Moons(SyntheticData):
    """Points on two interleaving half circles, from scikit-learn."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.manifolds:draw_moons"
    name: Literal["moons"]
    noise: float = Field(0.05, ge=0)
    """Standard deviation of the added noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (2,)


class SwissRoll(SyntheticData):
    """Points on a spiral, or on the Swiss roll over it, from scikit-learn."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.manifolds:draw_swiss_roll"
    name: Literal["swiss_roll"]
    dimension: Literal[2, 3] = 2
    """2: spiral; 3: Swiss roll."""
    noise: float = Field(0.3, ge=0)
    """Standard deviation of the added noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (self.dimension,)
