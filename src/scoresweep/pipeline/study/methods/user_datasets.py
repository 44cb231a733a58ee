"""A user's own data: image files, arrays, Parquet."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from scoresweep.pipeline.study.config import Config, content_hash
from scoresweep.pipeline.study.methods.dataset_base import Dataset, PathField

__all__ = [
    "LONGEST_NAME",
    "ArrayFile",
    "ImageFolder",
    "Keys",
    "ParquetImages",
    "UserData",
    "ZarrStore",
]


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


class UserData(Dataset):
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


class ImageFolder(UserData):
    """A folder or `.zip` archive of images. Sub-folders are classes, unless their names are those
    of splits, such as `train` and `test`; a `dataset.json` as StyleGAN and EDM write it gives the
    classes instead."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.folder:read_folder"
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


class OwnArrays(UserData):
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

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.arrays:read_array"
    name: Literal["array"]


class ZarrStore(OwnArrays):
    """A Zarr store, a folder or a zip archive: images (N, H, W[, C]) or points (N, D)."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.arrays:read_zarr"
    name: Literal["zarr"]


class ParquetImages(UserData):
    """A Parquet file with a column of encoded images, as Hugging Face writes them, or a folder of
    such files whose names say the split, such as `train-00000-of-00002.parquet`."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.parquet:read_parquet"
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
