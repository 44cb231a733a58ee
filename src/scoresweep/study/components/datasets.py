"""Every dataset, by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scoresweep.study.components.dataset_base import Dataset, Size, Source
from scoresweep.study.components.drawn_datasets import (
    GaussianMixtureData,
    Moons,
    Shapes,
    SwissRoll,
)
from scoresweep.study.components.own_datasets import (
    LONGEST_NAME,
    ArrayFile,
    ImageFolder,
    Keys,
    OwnData,
    ParquetImages,
    ZarrStore,
)
from scoresweep.study.components.published_datasets import CIFAR10, MNIST, Digits, FashionMNIST

__all__ = [
    "LONGEST_NAME",
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
