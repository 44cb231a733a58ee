"""Datasets: the published ones, drawn ones, and people's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, PlainSerializer, field_validator, model_validator

from scoresweep.study.base import Component, Config, content_hash

__all__ = [
    "AnyDataset",
    "Dataset",
    "GaussianMixtureData",
    "ImageFolder",
    "Keys",
    "OwnData",
    "Shapes",
    "Size",
    "Source",
]

PathField = Annotated[
    Path,
    Field(strict=False),
    PlainSerializer(str, return_type=str),
]


class Source(Config):
    """Where the files of a dataset come from: exactly one of `path`, `url` and `package`."""

    path: PathField | None = None
    """A local file or folder that holds the published files."""
    url: str | None = None
    """Address of the folder with the published files."""
    package: str | None = None
    """A package fetched by its registry's own client: "npm:NAME@VERSION", "pypi:NAME==VERSION" or
    "debian:NAME"."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if sum(value is not None for value in (self.path, self.url, self.package)) != 1:
            raise ValueError("exactly one of path, url and package")
        return self


Size = tuple[tuple[int, ...], int]
"""Shape of a sample in model space, (C, H, W) or (D,), and number of samples."""


class Dataset(Component):
    """What is common to every dataset."""

    name: str
    subset: int | None = Field(None, ge=2)
    """Keep only this many training samples and as many test samples: the first ones; of own data,
    the first ones of each class; null: all."""

    published: ClassVar[Size | None] = None

    @property
    def known_size(self) -> Size | None:
        """Shape of a sample and number of samples; None where only staging can tell."""
        return self.published

    @property
    def id(self) -> str:
        """Name of the staged store: the dataset's, and a hash where an option is not default."""
        options = self.model_dump(exclude={"name", "source"}, exclude_defaults=True)
        return f"{self.name}_{content_hash(options)}" if options else self.name


class Digits(Dataset):
    """The 1,797 handwritten digits of scikit-learn: 8×8 pixels, 17 grey levels, ten classes."""

    target: ClassVar[str] = "scoresweep.data.sources.digits:read_digits"
    published: ClassVar[Size | None] = ((1, 8, 8), 1_797)
    name: Literal["digits"]


class MNIST(Dataset):
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey."""

    target: ClassVar[str] = "scoresweep.data.sources.idx:read_mnist"
    published: ClassVar[Size | None] = ((1, 28, 28), 70_000)
    name: Literal["mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


class FashionMNIST(Dataset):
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28×28 grey."""

    target: ClassVar[str] = "scoresweep.data.sources.idx:read_fashion_mnist"
    published: ClassVar[Size | None] = ((1, 28, 28), 70_000)
    name: Literal["fashion_mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


class CIFAR10(Dataset):
    """CIFAR-10: 50,000 + 10,000 photographs, 32×32 colour, ten classes."""

    target: ClassVar[str] = "scoresweep.data.sources.cifar10:read_cifar10"
    published: ClassVar[Size | None] = ((3, 32, 32), 60_000)
    name: Literal["cifar10"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


Share = Annotated[float, Field(ge=0, le=1)]

Positive = Annotated[float, Field(gt=0)]

Points = Annotated[list[Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]


class Drawn(Dataset):
    """What is common to datasets that are drawn and not fetched."""

    train_count: int = Field(10_000, ge=2)
    """Training samples to draw."""
    test_count: int = Field(2_000, ge=2)
    """Test samples to draw."""
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


class GaussianMixtureData(Drawn):
    """Points of a mixture of isotropic Gaussians, whose score is known exactly."""

    target: ClassVar[str] = "scoresweep.data.sources.gaussian_mixture:draw_gaussian_mixture"
    name: Literal["gaussian_mixture"]
    weights: list[Positive] | None = None
    """Weight of each component, scaled to the sum 1; null: equal ones."""
    means: Points | None = None
    """Mean of each component, a list of points; null: (±3, ±3), four modes in two dimensions."""
    stds: Positive | list[Positive] = 0.5
    """Standard deviation, one for all components or one for each."""
    dimension: int | None = Field(None, ge=1)
    """Fill up the means with zeros to so many dimensions; null: those of the means."""

    @model_validator(mode="after")
    def _fits(self) -> GaussianMixtureData:
        points = 4 if self.means is None else len(self.means)
        lengths = {2} if self.means is None else {len(mean) for mean in self.means}
        if len(lengths) > 1:
            raise ValueError(f"means of one dimension, found {sorted(lengths)}")
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


class Shapes(Drawn):
    """Pictures of five shapes filled with uniform noise, 28×28 grey: triangle, bar, circles, disc
    and square (Kondracki and Le Bihan 2024)."""

    target: ClassVar[str] = "scoresweep.data.sources.shapes:draw_shapes"
    name: Literal["shapes"]
    shares: dict[Literal["triangle", "bar", "circles", "disc", "square"], Share] | None = None
    """Share of a class by its name, in [0, 1]; the others have equal parts of the rest; null: all
    equal."""
    test_count: int = Field(1_000, ge=2)
    """Test samples to draw."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Shapes:
        if self.shares is not None:
            total, every = sum(self.shares.values()), len(self.shares) == 5
            if total > 1 + 1e-9 or (every and total < 1 - 1e-9):
                expected = "1" if every else "1 or less"
                raise ValueError(f"shares of the sum {expected}, found {total:g}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a picture."""
        return (1, 28, 28)


class Moons(Drawn):
    """Points of two half circles that reach into each other, from scikit-learn."""

    target: ClassVar[str] = "scoresweep.data.sources.manifolds:draw_moons"
    name: Literal["moons"]
    noise: float = Field(0.05, ge=0)
    """Standard deviation of the noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (2,)


class SwissRoll(Drawn):
    """Points of a spiral, or of a roll over it, from scikit-learn."""

    target: ClassVar[str] = "scoresweep.data.sources.manifolds:draw_swiss_roll"
    name: Literal["swiss_roll"]
    dimension: Literal[2, 3] = 2
    """2: the spiral; 3: the roll."""
    noise: float = Field(0.3, ge=0)
    """Standard deviation of the noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (self.dimension,)


def _two_folders(splits: dict[str, str]) -> dict[str, str]:
    if "train" not in splits:
        raise ValueError("the folder of the split train, too")
    if len(set(splits.values())) < len(splits):
        raise ValueError("a folder for each split, not the same twice")
    return splits


SplitFolders = Annotated[
    dict[Literal["train", "test"], str],
    AfterValidator(_two_folders),
]


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] < limits[1]:
        raise ValueError("two values that rise, [low, high]")
    return limits


ValueRange = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_rising)]
"""Values that mean black and white."""


LONGEST_NAME = 200
"""Most bytes of a dataset's or study's name: with a hash and the longest ending, a file name."""


def _as_file_name(stem: str) -> str:
    """Return a name without braces, which are wildcards to Snakemake, that is not too long."""
    name = re.sub(r"[{}\r\n]", "-", stem)
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")


class OwnData(Dataset):
    """What is common to people's own data."""

    path: PathField
    """The file or folder."""
    title: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME
    )
    """Name used for files and tables; null: the last part of the path."""
    test_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the samples that is set aside as the test set, where the data has none."""

    @property
    def id(self) -> str:
        """Title or file name, and a hash of the path and the options."""
        options = self.model_dump(exclude={"title"}, exclude_defaults=True)
        return f"{self.title or _as_file_name(self.path.stem)}_{content_hash(options)}"


def _is_none(value: object) -> bool:
    """Leave options that came later out of records, so that staged stores keep their manifest."""
    return value is None


class ImageFolder(OwnData):
    """A folder or `.zip` archive of images. Sub-folders are classes, unless their names are those
    of splits, such as `train` and `test`; a `dataset.json` as StyleGAN and EDM write it gives the
    classes instead."""

    target: ClassVar[str] = "scoresweep.data.sources.folder:read_folder"
    name: Literal["folder"]
    size: int | None = Field(None, ge=4)
    """Crop to a centred square and resize to this many pixels; null: every image must have the same
    size."""
    splits: Literal["auto", "none"] | SplitFolders = Field(
        "auto", exclude_if=lambda value: value == "auto"
    )
    """Which sub-folders are splits: "auto": those with names such as `train`, `Testing` or `val`;
    "none": every sub-folder is a class; or the name of each, {train: NAME, test: NAME}."""
    range: ValueRange | None = Field(None, exclude_if=_is_none)
    """Values of the files that mean black and white, [low, high]: images with more than 8 bits a
    channel are scaled by them, and refused without."""
    frames: Literal["first", "all"] | None = Field(None, exclude_if=_is_none)
    """Which frames of animations and multi-page files are read; null: such files are refused."""


class Keys(Config):
    """Names of the arrays to read: `image` or `point`, and `label` if there are classes.

    In a file with groups for train and test, such as `train/image`, the name without the group.
    """

    image: str | None = None
    """Images of the training part, or of everything."""
    point: str | None = None
    """Points of the training part, or of everything."""
    label: str | None = None
    """Their labels; null: none."""
    test_image: str | None = None
    """Images of the test part, if they have a name of their own."""
    test_point: str | None = None
    """Points of the test part, if they have a name of their own."""
    test_label: str | None = None
    """Labels of the test part, if they have a name of their own."""

    @model_validator(mode="after")
    def _one_kind(self) -> Keys:
        if (self.image is None) == (self.point is None):
            raise ValueError("exactly one of image and point")
        other = "test_image" if self.image is None else "test_point"
        if getattr(self, other) is not None:
            raise ValueError(f"images or points in both parts, not {other} beside the other kind")
        if self.test_label is not None and self.test_image is None and self.test_point is None:
            raise ValueError("test_image or test_point beside test_label")
        return self


class OwnArrays(OwnData):
    """What is common to arrays of one's own."""

    keys: Keys | None = Field(None, exclude_if=_is_none)
    """Names of the arrays to read; null: they are found by their names (docs/data.md)."""
    layout: str | None = Field(None, exclude_if=_is_none)
    """Order of the axes of the samples, one letter each: N sample, H row, W column, C channel, or D
    feature of a point; for example NCHW; null: named dimensions, or NHWC, NHW, ND."""
    range: ValueRange | None = Field(None, exclude_if=_is_none)
    """Stored values that mean black and white, such as [-1, 1]; null: the array's attribute
    `pixel_range`, or [0, 255] for uint8."""

    @field_validator("layout")
    @classmethod
    def _is_layout(cls, value: str | None) -> str | None:
        if value is not None and "".join(sorted(value)) not in {"DN", "HNW", "CHNW"}:
            raise ValueError(f"an order of NHW, NHWC or ND, such as NCHW, found {value}")
        return value


class ArrayFile(OwnArrays):
    """A NumPy (`.npy`, `.npz`), HDF5 or netCDF file: images (N, H, W[, C]) or points (N, D)."""

    target: ClassVar[str] = "scoresweep.data.sources.arrays:read_array"
    name: Literal["array"]


class ZarrStore(OwnArrays):
    """A Zarr store, a folder or a zip archive: images (N, H, W[, C]) or points (N, D)."""

    target: ClassVar[str] = "scoresweep.data.sources.arrays:read_zarr"
    name: Literal["zarr"]


class ParquetImages(OwnData):
    """A Parquet file with a column of encoded images, as Hugging Face writes them, or a folder of
    such files whose names say the split, such as `train-00000-of-00002.parquet`."""

    target: ClassVar[str] = "scoresweep.data.sources.parquet:read_parquet"
    name: Literal["parquet"]
    keys: Keys | None = None
    """Names of the columns to read, image and label; null: they are found by type and name."""
    size: int | None = Field(None, ge=4)
    """Crop to a centred square and resize to this many pixels; null: every image must have the same
    size."""
    range: ValueRange | None = None
    """Values of the files that mean black and white, [low, high]: images with more than 8 bits a
    channel are scaled by them, and refused without."""
    frames: Literal["first", "all"] | None = None
    """Which frames of animations are read; null: animations are refused."""


AnyDataset = Annotated[
    Digits
    | MNIST
    | FashionMNIST
    | CIFAR10
    | GaussianMixtureData
    | Shapes
    | Moons
    | SwissRoll
    | ImageFolder
    | ArrayFile
    | ZarrStore
    | ParquetImages,
    Field(discriminator="name"),
]
