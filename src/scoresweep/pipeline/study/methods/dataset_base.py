"""Base class of all datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, PlainSerializer, model_validator

from scoresweep.pipeline.study.config import Config, Labelled, MethodConfig, content_hash

__all__ = ["Dataset", "PathField", "Size", "Source"]

PathField = Annotated[
    Path,
    Field(strict=False),
    PlainSerializer(str, return_type=str),
]


class Source(Config):
    """Source of a published dataset: exactly one of `path`, `url` and `package`."""

    path: PathField | None = None
    """Local file or folder with the published files."""
    url: str | None = None
    """URL of the folder with the published files."""
    package: str | None = None
    """Package, fetched by the client of its registry: "npm:NAME@VERSION", "pypi:NAME==VERSION" or
    "debian:NAME"."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if sum(value is not None for value in (self.path, self.url, self.package)) != 1:
            raise ValueError("exactly one of path, url and package")
        return self


Size = tuple[tuple[int, ...], int]
"""Shape of a sample in model space, (C, H, W) or (D,), and number of samples."""


class Dataset(Labelled, MethodConfig):
    """Base class of datasets."""

    name: str
    subset: int | None = Field(None, ge=2)
    """Keep only the first `subset` training samples and as many test samples; for user data, the
    first ones of each class, in proportion. null: all."""

    published_size: ClassVar[Size | None] = None

    @property
    def known_size(self) -> Size | None:
        """Shape of a sample and number of samples; None if only staging can tell."""
        return self.published_size

    @property
    def id(self) -> str:
        """Name of the staged store: the dataset name, and a hash if an option is not default."""
        options = self.model_dump(exclude={"name", "source"}, exclude_defaults=True)
        options |= {"plugin": self.plugin} if self.plugin else {}
        return f"{self.name}_{content_hash(options)}" if options else self.name
