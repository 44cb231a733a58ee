"""Distances between two sets of points, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["nearest_distances", "nearest_points", "squared_distances"]

BLOCK = 2**21
"""Largest number of distances held at a time."""

ROUNDING = 16 * torch.finfo(torch.float64).eps
"""Squared distance from x to itself that rounding leaves, at most, in units of ‖x‖².

A fifth to a third of it was found for 1 to 12,288 features. Its root, 6e-8, is that of float32
features.
"""


def nearest_distances(x: Tensor, points: Tensor, k: int) -> Tensor:
    """Return the distances from each of `x` (N, D) to its `k` nearest `points`, (N, k), rising.

    They are infinite where there are fewer points.
    """
    return nearest_points(x, points, k)[0]


def nearest_points(x: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the distances as `nearest_distances` does, and which points these are, (N, k).

    Where there are fewer points the index is −1.
    """
    found = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    index = torch.full((len(x), k), -1)
    for rows, columns, squares in squared_distances(x, points):
        near, place = torch.cat([found[rows], squares], dim=1).topk(k, dim=1, largest=False)
        found[rows] = near
        index[rows] = torch.where(
            place < k, index[rows].gather(1, place.clamp(max=k - 1)), place - k + columns.start
        )
    return found.sqrt(), index


def squared_distances(x: Tensor, points: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Give ranges of rows of `x` and of `points` and the squared distances of these, float64.

    The square is expanded about the centre of `points`: far from the origin the norms would take
    the digits that the distances need. What is left of a point's distance to itself becomes 0. No
    more than a part of either set is held in float64.
    """
    size = max(1, math.isqrt(BLOCK))
    starts = range(0, len(x), size)
    centre = points.mean(dim=0, dtype=torch.float64)
    for start in range(0, len(points), size):
        columns = slice(start, min(start + size, len(points)))
        part = points[columns].double() - centre
        squares = part.square().sum(dim=1)
        for rows in (slice(start, min(start + size, len(x))) for start in starts):
            block = x[rows].double() - centre
            own = block.square().sum(dim=1, keepdim=True)
            distances = (own + squares).addmm_(block, part.T, alpha=-2)
            yield rows, columns, distances.masked_fill_(distances <= ROUNDING * own, 0)
