"""Draw images of shapes filled with uniform noise (see `scoresweep.metrics.shape_masks`)."""

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
    """Draw images of the five shapes, 28×28 grey, with labels.

    In each split, class counts are the shares rounded to whole numbers, in random order.

    Args:
        shares: share of each class by name, in [0, 1]; other classes share the rest equally; None:
            all equal.
        train_count: number of training images.
        test_count: number of test images.
        seed: seed of both, below 2³².
    """
    shape_masks = masks().numpy()
    all_shares = class_shares(shares or {})

    def split(count: int, random: np.random.RandomState) -> Split:
        label = random.permutation(np.repeat(np.arange(len(SHAPES)), _counts(all_shares, count)))
        noise = random.randint(0, 256, (count, *shape_masks.shape[1:])).astype(np.uint8)
        images = (noise * shape_masks[label])[..., None]
        return Split(images, label.astype(np.int64), (0.0, 255.0), list(SHAPES))

    return draw_splits(split, "shapes filled with uniform noise", train_count, test_count, seed)


def class_shares(given: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Return the share of every class (5,); classes that are not given share the rest."""
    rest = (1 - sum(given.values())) / max(1, len(SHAPES) - len(given))
    return np.array([given.get(name, rest) for name in SHAPES])


def _counts(shares: npt.NDArray[np.float64], total: int) -> npt.NDArray[np.int64]:
    """Round `shares`·total to integers with the sum `total`, by largest remainders."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts
