"""Detection of copies of training samples.

A sample x is a copy if it is at most a third as far from the nearest training sample y as from the
second nearest (Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to
memorize", https://openreview.net/forum?id=shciCbSk9h). If the training set has y twice, the second
nearest is y again, and no copy of y would be detected. So the second nearest is here the nearest
training sample that differs from y:

- Any number of exact duplicates count as one sample.
- Up to four near duplicates (another compression, one pixel changed) count as one sample: the
  samples nearer to x than z and within a tenth of ‖x − z‖ of y are the same as y.

For a training set without duplicates, the share is that of the plain criterion except by chance:
the probability that two independent samples in d dimensions are ten times nearer to each other than
to the rest is about 10⁻ᵈ. Clusters of four samples or fewer that are ten times narrower than their
distance cannot be distinguished from duplicates.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from scoresweep.metrics.distances import BLOCK, nearest_points

__all__ = ["find_copies", "without_duplicates"]

COPY_RATIO = 1 / 3
"""Maximum ratio of the distances to the nearest and second nearest sample for a copy."""

DUPLICATE_RATIO = 1 / 10
"""Maximum ratio of the distance of near duplicates and that of x to other training samples."""

DUPLICATES = 4
"""Maximum number of near duplicates that count as one sample."""


def without_duplicates(points: Tensor) -> Tensor:
    """Return `points` (N, D) without repetitions of equal points."""
    first: dict[bytes, int] = {}
    for start in range(0, len(points), 1024):
        rows = points[start : start + 1024].cpu() + 0.0  # 0 and −0 are equal
        for index, row in enumerate(rows.numpy(), start):
            first.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), index)
    return points if len(first) == len(points) else points[list(first.values())]


def find_copies(x: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of `x` (N, D) are copies of one of the different `points` (M, D).

    Returns:
        Whether each is a copy, bool (N,), and the distance to the nearest point, (N,), float64.

    Raises:
        ValueError: if there are fewer than two points.
    """
    if len(points) < 2:
        raise ValueError(f"expected 2 different samples or more, found {len(points)}")
    distances, index = nearest_points(x, points, min(DUPLICATES + 1, len(points)))
    within_copy_ratio = distances[:, :1] <= COPY_RATIO * distances[:, 1:]
    is_copy = within_copy_ratio[:, 0].clone()
    # The nearest training samples of these may be near duplicates of each other.
    unsure = (within_copy_ratio[:, -1] & ~is_copy).nonzero()[:, 0]
    for rows in torch.split(unsure, max(1, BLOCK // index[0].numel() // points.shape[1])):
        near = points[index[rows]].double()
        widths = (near - near[:, :1]).norm(dim=2).cummax(dim=1).values
        alike = widths[:, :-1] <= DUPLICATE_RATIO * distances[rows, 1:]
        is_copy[rows] = (alike & within_copy_ratio[rows]).any(dim=1)
    return is_copy, distances[:, 0]
