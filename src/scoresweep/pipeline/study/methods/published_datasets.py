"""Published datasets."""

from __future__ import annotations

from typing import ClassVar, Literal

from scoresweep.pipeline.study.methods.dataset_base import Dataset, Size, Source

__all__ = ["CIFAR10", "MNIST", "Digits", "FashionMNIST"]


class Digits(Dataset):
    """The 1,797 handwritten digits of scikit-learn: 8×8, 17 grey levels, ten classes."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.digits:read_digits"
    published_size: ClassVar[Size | None] = ((1, 8, 8), 1_797)
    name: Literal["digits"]


class MNIST(Dataset):
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28 greyscale, ten classes."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.mnist:read_mnist"
    published_size: ClassVar[Size | None] = ((1, 28, 28), 70_000)
    name: Literal["mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known sources, in order."""


class FashionMNIST(Dataset):
    """Fashion-MNIST: 60,000 + 10,000 images of clothing, 28×28 greyscale, ten classes."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.mnist:read_fashion_mnist"
    published_size: ClassVar[Size | None] = ((1, 28, 28), 70_000)
    name: Literal["fashion_mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known sources, in order."""


class CIFAR10(Dataset):
    """CIFAR-10: 50,000 + 10,000 photographs, 32×32 colour, ten classes."""

    target: ClassVar[str] = "scoresweep.pipeline.data.sources.cifar10:read_cifar10"
    published_size: ClassVar[Size | None] = ((3, 32, 32), 60_000)
    name: Literal["cifar10"]
    source: Source | None = None
    """Where to fetch it from; null: the known sources, in order."""
