"""Numbers of NumPy's types in a file of torch.save, read without NumPy's unpickling.

score_sde_pytorch saves its learning rate as a `numpy.float64`, which PyTorch's safe unpickler
refuses. The names that NumPy pickles such a number under are given harmless meanings here.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

__all__ = ["numpy_scalars_as_numbers"]

FORMATS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "u1": "B", "b1": "?"}
"""Format in `struct` of each type that is read."""


class _Type:
    """A NumPy type, as pickled."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


def _number(kind: _Type, data: bytes) -> float | int | bool:
    """Return the number with the bytes `data`; raise `UnpicklingError` for other values."""
    if not isinstance(kind, _Type) or kind.code not in FORMATS or kind.order not in "<>|":
        raise pickle.UnpicklingError("expected a number in a NumPy scalar, found another type")
    number: float | int | bool = struct.unpack(kind.order.strip("|") + FORMATS[kind.code], data)[0]
    return number


def numpy_scalars_as_numbers() -> AbstractContextManager[None]:
    """Within this context, `torch.load(weights_only=True)` reads NumPy's numbers as Python's."""
    meanings: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_number, "numpy.core.multiarray.scalar"),
        (_number, "numpy._core.multiarray.scalar"),
        (_Type, "numpy.dtype"),
    ]
    return torch.serialization.safe_globals(meanings)
