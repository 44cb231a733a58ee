"""A feature extractor: one class in one file."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from scoresweep.metrics.features import Features

__all__ = ["Extractor", "check_channels"]


class Extractor(nn.Module):
    """Turns samples into features on which the metrics compare real and generated ones.

    A subclass sets `name`, takes `(shape, classes)` and defines `forward`; one that learns from the
    real training samples defines `fit` and `recipe` too. What it has learned is its `state_dict`.
    """

    name: ClassVar[str]
    """Becomes part of the metrics' names: `frechet_<name>`."""
    resize: ClassVar[str] = "none"
    """How images are brought to the size that the extractor expects."""
    needs_images: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    weights: ClassVar[str | None] = None
    """Name of the published weights that it is used with; None: it learns its own, or has none."""
    batch_size: ClassVar[int] = 1024
    """Samples that are best given to `forward` together."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:  # noqa: ARG002
        """Make one for samples of `shape`, (C, H, W) or (D,), in `classes` classes, or 0."""
        super().__init__()

    def fit(self, samples: Tensor, labels: Tensor | None, seed: int) -> None:
        """Learn from the real training `samples` (N, ...) and `labels` (N,); most learn nothing."""

    def recipe(self) -> dict[str, float]:
        """Return what `fit` goes by: weights of another recipe are those of another extractor."""
        return {}

    def forward(self, samples: Tensor) -> Features:
        """Return the features of `samples`: images (N, C, H, W) in [0, 1], or points (N, D)."""
        raise NotImplementedError


def check_channels(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless images of `shape` (C, H, W) are grey or in colour: C is 1 or 3."""
    if shape[0] not in (1, 3):
        raise ValueError(f"images of 1 or 3 channels are needed, found {shape[0]}")
