"""The samples of one split of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


__all__ = ["Split"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Split:
    """The samples of one split, as they are stored."""

    values: Array
    """Images (N, H, W, C), uint8 or, if 8 bits do not hold them, float32; points float32 (N, D)."""
    labels: Array | None = None
    """Class of each sample, int64 (N,)."""
    pixel_range: tuple[float, float] | None = None
    """Stored values that mean black and white; None for points."""
    class_names: list[str] | None = None
    """Name of each class."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample in model space: (C, H, W) or (D,)."""
        if self.pixel_range is None:
            return self.values.shape[1:]
        height, width, channels = self.values.shape[1:]
        return (channels, height, width)

    def model_space(self, index: slice | Array = slice(None)) -> Tensor:
        """Return samples as float32, images (N, C, H, W) in [0, 1], channels-last in memory."""
        import torch

        from scoresweep.pipeline.data.model_space import to_model_space

        return to_model_space(torch.from_numpy(self.values[index]), self.pixel_range)

    def first(self, count: int) -> Split:
        """Return the first `count` samples."""
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, values=self.values[:count], labels=labels)
