"""User data: image files, arrays, Parquet."""

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
        raise ValueError("a folder for the split train")
    if len(set(splits.values())) < len(splits):
        raise ValueError("a different folder for each split")
    return splits


SplitFolders = Annotated[
    dict[Literal["train", "test"], str],
    AfterValidator(_two_folders),
]


def _increasing(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] < limits[1]:
        raise ValueError("two increasing values, [low, high]")
    return limits


ValueRange = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_increasing)]
"""Values of black and white."""


LONGEST_NAME = 200
"""Maximum bytes of a dataset or study name, so that derived file names are valid."""


def _as_file_name(stem: str) -> str:
    """Return `stem` truncated, and without braces, which are wildcards in Snakemake."""
    name = re.sub(r"[{}\r\n]", "-", stem)
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")


class UserData(Dataset):
    """Base class of user data."""

    path: PathField
    """File or folder, relative to the working directory."""
    title: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME
    )
    """Name used in file names and tables; null: the last part of the path."""
    test_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the samples held out as test set, if the data have none."""

    @property
    def id(self) -> str:
        """Title or file name, and a hash of the path and the options."""
        options = self.model_dump(exclude={"title"}, exclude_defaults=True)
        return f"{self.title or _as_file_name(self.path.stem)}_{content_hash(options)}"


def _is_none(value: object) -> bool:
    """Omit newer options at null, so that manifests of stores staged before stay equal."""
    return value is None


class ImageFolder(UserData):
    """A folder or `.zip` archive of images. Sub-folders are classes, unless they are named after
    splits, such as `train` and `test`. A `dataset.json` as written by StyleGAN and EDM overrides
    the classes."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.folder:read_folder"
    name: Literal["folder"]
    size: int | None = Field(None, ge=4)
    """Crop to a centred square and resize to this side, in pixels; null: keep the size, which must
    be equal for all images."""
    splits: Literal["auto", "none"] | SplitFolders = Field(
        "auto", exclude_if=lambda value: value == "auto"
    )
    """Sub-folders that are splits: "auto": those with names such as `train`, `Testing` or `val`;
    "none": every sub-folder is a class; {train: NAME, test: NAME}: these."""
    range: ValueRange | None = Field(None, exclude_if=_is_none)
    """Pixel values of black and white, [low, high]; required for images with more than 8 bits per
    channel, which are rescaled."""
    frames: Literal["first", "all"] | None = Field(None, exclude_if=_is_none)
    """Frames to read from animations and multi-page files; null: such files are an error."""
    crop: int | None = Field(None, ge=4, exclude_if=_is_none)
    """Side in pixels of the centred square to crop to before resizing; null: with `size`, the
    largest one."""
    resample: Literal["lanczos", "bilinear"] = Field(
        "lanczos", exclude_if=lambda value: value == "lanczos"
    )
    """Filter of the resize, with antialiasing; "bilinear" is torchvision's default."""

    @model_validator(mode="after")
    def _resizes(self) -> ImageFolder:
        if self.resample != "lanczos" and self.size is None:
            raise ValueError(f"size, which resample: {self.resample} is the filter for")
        return self


class Keys(Config):
    """Names of the arrays to read: `image` or `point`, and `label` if there are classes.

    For files with groups for train and test, such as `train/image`, give the name without group.
    """

    image: str | None = None
    """Images of the training set, or of both sets."""
    point: str | None = None
    """Points of the training set, or of both sets."""
    label: str | None = None
    """Labels; null: none."""
    test_image: str | None = None
    """Images of the test set, if separate."""
    test_point: str | None = None
    """Points of the test set, if separate."""
    test_label: str | None = None
    """Labels of the test set, if separate."""

    @model_validator(mode="after")
    def _one_kind(self) -> Keys:
        if (self.image is None) == (self.point is None):
            raise ValueError("exactly one of image and point")
        other = "test_image" if self.image is None else "test_point"
        if getattr(self, other) is not None:
            raise ValueError(f"images in both sets or points in both sets, found {other}")
        if self.test_label is not None and self.test_image is None and self.test_point is None:
            raise ValueError("test_image or test_point together with test_label")
        return self


class UserArrays(UserData):
    """Base class of array files."""

    keys: Keys | None = Field(None, exclude_if=_is_none)
    """Names of the arrays to read; null: found by common names (docs/data.md)."""
    layout: str | None = Field(None, exclude_if=_is_none)
    """Order of the axes, one letter each: N sample, H row, W column, C channel, D feature of a
    point; for example NCHW. null: by dimension names, else NHWC, NHW or ND."""
    range: ValueRange | None = Field(None, exclude_if=_is_none)
    """Stored values of black and white, such as [-1, 1]; null: the attribute `pixel_range` of the
    array, or [0, 255] for uint8."""

    @field_validator("layout")
    @classmethod
    def _is_layout(cls, value: str | None) -> str | None:
        if value is not None and "".join(sorted(value)) not in {"DN", "HNW", "CHNW"}:
            raise ValueError("a permutation of NHW, NHWC or ND, such as NCHW")
        return value


class ArrayFile(UserArrays):
    """A NumPy (`.npy`, `.npz`), HDF5 or netCDF file: images (N, H, W[, C]) or points (N, D)."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.arrays:read_array"
    name: Literal["array"]


class ZarrStore(UserArrays):
    """A Zarr store, a folder or a zip archive: images (N, H, W[, C]) or points (N, D)."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.arrays:read_zarr"
    name: Literal["zarr"]


class ParquetImages(UserData):
    """A Parquet file with a column of encoded images, as written by Hugging Face datasets, or a
    folder of such files named after their split, such as `train-00000-of-00002.parquet`."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.parquet:read_parquet"
    name: Literal["parquet"]
    keys: Keys | None = None
    """Names of the columns `image` and `label`; null: found by type and name."""
    size: int | None = Field(None, ge=4)
    """Crop to a centred square and resize to this side, in pixels; null: keep the size, which must
    be equal for all images."""
    range: ValueRange | None = None
    """Pixel values of black and white, [low, high]; required for images with more than 8 bits per
    channel, which are rescaled."""
    frames: Literal["first", "all"] | None = None
    """Frames to read from animations; null: animations are an error."""
