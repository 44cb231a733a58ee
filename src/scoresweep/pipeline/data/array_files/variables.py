"""Arrays of a file that are described but not yet read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "FileVariable"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FileVariable:
    """One array of a file."""

    name: str
    """Path in the file, such as `train/image`."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """Type in the file; `read` may return another one (scaled or masked values)."""
    read: Callable[[], Array]
    """Return the values after applying `_FillValue`, `scale_factor` and `add_offset`."""
    dimensions: tuple[str, ...] | None = None
    """Names of the dimensions; None if the file has none."""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        """Whether this is the coordinate of a dimension, such as the pixel rows `y`."""
        return self.dimensions == (self.name.rpartition("/")[2],)

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"
