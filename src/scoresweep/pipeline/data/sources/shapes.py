"""Pictures of shapes filled with uniform noise (see `scoresweep.metrics.shape_masks`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from scoresweep.metrics.shape_masks import SHAPES, masks
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.sources.synthetic import draw_splits
from scoresweep.pipeline.data.split import Split

__all__ = ["class_shares", "draw_shapes"]


def draw_shapes(
    shares: Mapping[str, float] | None = None,
    train_count: int = 10_000,
    test_count: int = 1_000,
    seed: int = 0,
) -> LoadedDataset:
    """Draw pictures of the five shapes, 28×28 grey, with their labels.

    Every split has each class's share of its samples to the nearest whole number, in random order.

    Args:
        shares: share of a class by its name, in [0, 1]; classes that are not named have equal parts
            of the rest; None: all equal.
        train_count: number of training pictures.
        test_count: number of test pictures.
        seed: of both, below 2³².
    """
    where = masks().numpy()
    wanted = class_shares(shares or {})

    def split(count: int, random: np.random.RandomState) -> Split:
        label = random.permutation(np.repeat(np.arange(len(SHAPES)), _counts(wanted, count)))
        noise = random.randint(0, 256, (count, *where.shape[1:])).astype(np.uint8)
        images = (noise * where[label])[..., None]
        return Split(images, label.astype(np.int64), (0.0, 255.0), list(SHAPES))

    return draw_splits(split, "shapes filled with uniform noise", train_count, test_count, seed)


def class_shares(given: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Return the share of every class (5,), of those that are given by name and of the rest."""
    rest = (1 - sum(given.values())) / max(1, len(SHAPES) - len(given))
    return np.array([given.get(name, rest) for name in SHAPES])


def _counts(shares: npt.NDArray[np.float64], total: int) -> npt.NDArray[np.int64]:
    """Return whole numbers of the sum `total` near `shares`·total: largest remainders first."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts
