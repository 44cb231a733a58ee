"""The base class of feature extractors."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from scoresweep.metrics.features import Features

__all__ = ["Extractor", "check_channels"]


class Extractor(nn.Module):
    """A module that maps samples to features, in which metrics compare real and generated samples.

    A subclass sets `name`, takes `(shape, classes)` and defines `forward`. A subclass that is
    trained on the real samples also defines `fit` and `recipe`; its `state_dict` is the result.
    """

    name: str
    """Part of the names of metrics: `frechet_<name>`."""
    resize: ClassVar[str] = "none"
    """Method of resizing images to the size that the extractor expects."""
    needs_images: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    weights: ClassVar[str | None] = None
    """Name of its published weights; None: it is trained here, or has no others than it is built
    with."""
    batch_size: int = 1024
    """Number of samples of a batch."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:  # noqa: ARG002
        """Create it for samples of `shape`, (C, H, W) or (D,), with `classes` classes, or 0."""
        super().__init__()

    @property
    def is_trained_here(self) -> bool:
        """Whether it is trained on the real samples."""
        return type(self).fit is not Extractor.fit

    def fit(self, samples: Tensor, labels: Tensor | None, seed: int) -> None:
        """Train on the real `samples` (N, ...) and `labels` (N,); by default nothing is trained."""

    def recipe(self) -> dict[str, float]:
        """Return the training hyperparameters; a change invalidates fitted weights."""
        return {}

    def forward(self, samples: Tensor) -> Features:
        """Return the features of `samples`: images (N, C, H, W) in [0, 1], or points (N, D)."""
        raise NotImplementedError


def check_channels(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless C of `shape` (C, H, W) is 1 (grey) or 3 (colour)."""
    if shape[0] not in (1, 3):
        raise ValueError(f"expected images of 1 or 3 channels, found {shape[0]}")
