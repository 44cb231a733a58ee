"""The samples of one split, and their conversion to network inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


__all__ = ["Split", "to_model_space"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Split:
    """The samples of one split, as stored."""

    values: Array
    """Images (N, H, W, C), uint8 or float32; points (N, D), float32."""
    labels: Array | None = None
    """Class of each sample, int64 (N,)."""
    pixel_range: tuple[float, float] | None = None
    """Values of black and white; None for points."""
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
        """Return samples in model space, see `to_model_space`."""
        import torch

        return to_model_space(torch.from_numpy(self.values[index]), self.pixel_range)

    def take(self, index: slice | Array) -> Split:
        """Return some of the samples with their labels."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, values=self.values[index], labels=labels)

    def first(self, count: int) -> Split:
        """Return the first `count` samples."""
        return self.take(slice(count))


def to_model_space(values: Tensor, pixel_range: tuple[float, float] | None) -> Tensor:
    """Return samples as networks receive them: float32, images scaled to [0, 1].

    Images (N, H, W, C) become x = (value − low)/(high − low), (N, C, H, W) in the channels-last
    memory format, so that only the conversion copies. Points (N, D) keep their values.
    """
    import torch

    if pixel_range is None:
        return values.to(torch.float32)
    low, high = pixel_range
    return values.permute(0, 3, 1, 2).to(torch.float32).sub_(low).div_(high - low)
