"""Initial weights of NCSN++, as in the authors' program."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import nn

__all__ = ["NEARLY_ZERO", "initialised"]

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

NEARLY_ZERO = 1e-10
"""Scale of the layers that the paper initialises to zero: the last ones of each branch."""


def initialised(layer: Layer, scale: float = 1.0) -> Layer:
    """Return `layer` with uniform weights of variance 2 · `scale`/(fan-in + fan-out), bias 0."""
    nn.init.xavier_uniform_(layer.weight, math.sqrt(scale))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
