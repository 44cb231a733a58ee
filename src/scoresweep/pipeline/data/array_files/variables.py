"""The arrays of a file or store, as its reader offers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Variable", "capped"]

Array = npt.NDArray[Any]

LISTED = 12
"""Names that a message lists at most."""


@dataclass(frozen=True)
class Variable:
    """One array, not read yet."""

    name: str
    """Path inside the file, such as `train/image`."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """Type as it is stored; `read` may return another one (scaled or masked values)."""
    read: Callable[[], Array]
    """Return the values, with `_FillValue`, `scale_factor` and `add_offset` applied."""
    dimensions: tuple[str, ...] | None = None
    """Names of the dimensions, if the file has them."""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        """Whether this holds the positions along a dimension, such as the rows of pixels `y`."""
        return self.dimensions == (self.name.rpartition("/")[2],)

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"


def capped(words: Iterable[object]) -> str:
    """Join words with commas; of a long list, only the first ones."""
    texts = [str(word) for word in words]
    rest = len(texts) - LISTED
    return ", ".join(texts[:LISTED]) + (f" and {rest:,} more" if rest > 0 else "")
