"""All datasets, by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scoresweep.pipeline.study.methods.dataset_base import Dataset, Size, Source
from scoresweep.pipeline.study.methods.published_datasets import (
    CIFAR10,
    MNIST,
    Digits,
    FashionMNIST,
)
from scoresweep.pipeline.study.methods.synthetic_datasets import (
    GaussianMixtureData,
    Moons,
    Shapes,
    SwissRoll,
)
from scoresweep.pipeline.study.methods.user_datasets import (
    LONGEST_NAME,
    ArrayFile,
    ImageFolder,
    Keys,
    ParquetImages,
    UserData,
    ZarrStore,
)

__all__ = [
    "LONGEST_NAME",
    "AnyDataset",
    "Dataset",
    "GaussianMixtureData",
    "ImageFolder",
    "Keys",
    "Shapes",
    "Size",
    "Source",
    "UserData",
]

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
