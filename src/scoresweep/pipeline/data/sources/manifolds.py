"""Draw points from curved manifolds of scikit-learn: two moons and the swiss roll."""

from __future__ import annotations

from typing import Literal

import numpy as np

from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.sources.synthetic import draw_splits
from scoresweep.pipeline.data.split import Split

__all__ = ["draw_moons", "draw_swiss_roll"]


def draw_moons(
    noise: float = 0.05, train_count: int = 10_000, test_count: int = 2_000, seed: int = 0
) -> LoadedDataset:
    """Draw points of two interleaving half circles of radius 1; labels are the circles.

    Args:
        noise: standard deviation of the isotropic noise, in units of the data.
        train_count: number of training points.
        test_count: number of test points.
        seed: seed of both, below 2³².
    """
    from sklearn.datasets import make_moons

    def split(count: int, random: np.random.RandomState) -> Split:
        points, label = make_moons(count, noise=noise, random_state=random)
        names = ["upper", "lower"]
        return Split(points.astype(np.float32), label.astype(np.int64), class_names=names)

    return draw_splits(split, "scikit-learn's two moons", train_count, test_count, seed)


def draw_swiss_roll(
    dimension: Literal[2, 3] = 2,
    noise: float = 0.3,
    train_count: int = 10_000,
    test_count: int = 2_000,
    seed: int = 0,
) -> LoadedDataset:
    """Draw points of a spiral, (t cos t, t sin t) with t from 1.5π to 4.5π, or of a swiss roll.

    Args:
        dimension: 2: the spiral; 3: the roll, with a second coordinate uniform in [0, 21].
        noise: standard deviation of the noise, in units of the data.
        train_count: number of training points.
        test_count: number of test points.
        seed: seed of both, below 2³².
    """
    from sklearn.datasets import make_swiss_roll

    columns = [0, 2] if dimension == 2 else [0, 1, 2]

    def split(count: int, random: np.random.RandomState) -> Split:
        points, _ = make_swiss_roll(count, noise=noise, random_state=random)
        return Split(points[:, columns].astype(np.float32))

    return draw_splits(split, "scikit-learn's swiss roll", train_count, test_count, seed)
