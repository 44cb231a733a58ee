"""Which samples are copies of training samples.

A sample x is a copy if it is at most a third as far from the nearest training sample y as from the
second nearest (Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to
memorize", https://openreview.net/forum?id=shciCbSk9h). Where the training set holds y twice, the
second nearest is y again, and no copy of y would pass. So the second nearest is here the nearest
training sample that is different from y:

- Exact duplicates, of any number, count as one sample.
- Near duplicates (another compression, one pixel changed) count as one sample, up to four of
  them: the samples nearer to x than z that lie within a tenth of ‖x − z‖ of y are the same as y.

Of a training set without duplicates the share is that of the plain criterion, but for chance: that
two of n independent samples in d dimensions are ten times nearer to each other than to the rest has
a probability of about 10⁻ᵈ. Data whose clusters have four samples or fewer and are ten times
narrower than they lie apart cannot be told from duplicates.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from scoresweep.metrics.distances import BLOCK, nearest_points

__all__ = ["copies", "without_duplicates"]

COPY_RATIO = 1 / 3
"""Distance to the nearest over that to the second nearest, up to which a sample is a copy."""

DUPLICATE_RATIO = 1 / 10
"""Distance of near duplicates from each other over that of x from any other training sample."""

DUPLICATES = 4
"""Most near duplicates that count as one sample."""


def without_duplicates(points: Tensor) -> Tensor:
    """Return each of the `points` (N, D) once: the first of those that are equal."""
    first: dict[bytes, int] = {}
    for start in range(0, len(points), 1024):
        rows = points[start : start + 1024].cpu() + 0.0  # 0 and −0 are equal
        for index, row in enumerate(rows.numpy(), start):
            first.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), index)
    return points if len(first) == len(points) else points[list(first.values())]


def copies(x: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Tell which of `x` (N, D) are copies of one of the different `points` (M, D).

    Returns:
        bool (N,), and the distance to the nearest point, (N,), float64.

    Raises:
        ValueError: if there are fewer than two points.
    """
    if len(points) < 2:
        raise ValueError(f"2 different samples or more are needed, found {len(points)}")
    distances, index = nearest_points(x, points, min(DUPLICATES + 1, len(points)))
    apart = distances[:, :1] <= COPY_RATIO * distances[:, 1:]
    found = apart[:, 0].clone()
    # Of these the nearest training samples may be near duplicates of each other.
    unsure = (apart[:, -1] & ~found).nonzero()[:, 0]
    for rows in torch.split(unsure, max(1, BLOCK // index[0].numel() // points.shape[1])):
        near = points[index[rows]].double()
        widths = (near - near[:, :1]).norm(dim=2).cummax(dim=1).values
        alike = widths[:, :-1] <= DUPLICATE_RATIO * distances[rows, 1:]
        found[rows] = (alike & apart[rows]).any(dim=1)
    return found, distances[:, 0]
