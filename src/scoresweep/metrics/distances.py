"""Distances between two sets of points, computed in blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["nearest_distances", "nearest_points", "squared_distances"]

BLOCK = 2**21
"""Maximum number of distances of a block."""

ROUNDING = 16 * torch.finfo(torch.float64).eps
"""Maximum squared distance of x to itself due to rounding, in units of ‖x‖².

A fifth to a third of it was observed for 1 to 12,288 features. Its root, 6e-8, is the relative
rounding error of float32 features.
"""


def nearest_distances(x: Tensor, points: Tensor, k: int) -> Tensor:
    """Return the distances from each of `x` (N, D) to its `k` nearest `points`, (N, k), ascending.

    They are infinite if there are fewer than `k` points.
    """
    return nearest_points(x, points, k)[0]


def nearest_points(x: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the distances of `nearest_distances` and the indices of the points, (N, k) each.

    The index is −1 if there are fewer than `k` points.
    """
    nearest = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    index = torch.full((len(x), k), -1)
    for rows, columns, squares in squared_distances(x, points):
        near, place = torch.cat([nearest[rows], squares], dim=1).topk(k, dim=1, largest=False)
        nearest[rows] = near
        index[rows] = torch.where(
            place < k, index[rows].gather(1, place.clamp(max=k - 1)), place - k + columns.start
        )
    return nearest.sqrt(), index


def squared_distances(x: Tensor, points: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield a range of `x`, a range of `points` and their squared distances, float64, by blocks.

    The square is expanded about the centre of `points`, because norms far from the origin would
    lose the digits of the distances. The rounding error of a point's distance to itself is set to
    0. Only a block of either set is converted to float64.
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
            row_squares = block.square().sum(dim=1, keepdim=True)
            distances = (row_squares + squares).addmm_(block, part.T, alpha=-2)
            yield rows, columns, distances.masked_fill_(distances <= ROUNDING * row_squares, 0)
