"""Moments of real features from a file, as the metrics of sample quality use them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from scoresweep.metrics.features import Moments
from scoresweep.pipeline.study.real_statistics import read_statistics, statistics_sha256

__all__ = ["load_moments"]


def load_moments(path: Path, dimension: int) -> Moments:
    """Return the moments in a file; for an unchanged file, the same object each time.

    Raises:
        ValueError: if the file cannot be used, or is not of `dimension` features.
    """
    moments = _load(path, statistics_sha256(path))
    if (found := len(moments.mean)) != dimension:
        raise ValueError(f"{path} has {found:,} features, but the extractor has {dimension:,}")
    return moments


@lru_cache(maxsize=2)
def _load(path: Path, _: str) -> Moments:
    statistics = read_statistics(path)
    mu, sigma = torch.from_numpy(statistics.mu), torch.from_numpy(statistics.sigma)
    values, vectors = torch.linalg.eigh(sigma)
    # Rounding makes eigenvalues of 0 negative.
    smallest, bound = float(values[0]), -statistics.rounding
    if smallest < bound:
        raise ValueError(
            f"{path}: the smallest eigenvalue of sigma is {smallest:.3g}, which rounding does not "
            f"explain (its bound is {bound:.3g}); expected a covariance"
        )
    return Moments(mu, values.clamp(min=0).sqrt()[:, None] * vectors.T)
