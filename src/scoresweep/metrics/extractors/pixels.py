"""The samples themselves as features."""

from __future__ import annotations

from torch import Tensor

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features

__all__ = ["Pixels"]


class Pixels(Extractor):
    """Flattened pixels in [0, 1], or the coordinates of points."""

    name = "pixels"

    def forward(self, samples: Tensor) -> Features:
        """Return `samples` (N, ...) as (N, D)."""
        return Features(samples.flatten(1))
