"""Draw from a mixture of isotropic Gaussians, whose score is known at every noise level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.sources.synthetic import draw_splits
from scoresweep.pipeline.data.split import Split

__all__ = ["FOUR_MODES", "draw_gaussian_mixture"]

FOUR_MODES = ((-3.0, -3.0), (-3.0, 3.0), (3.0, -3.0), (3.0, 3.0))
"""Default means: the corners of a square, in units of the data."""


def draw_gaussian_mixture(
    weights: Sequence[float] | None = None,
    means: Sequence[Sequence[float]] | None = None,
    stds: float | Sequence[float] = 0.5,
    dimension: int | None = None,
    train_count: int = 10_000,
    test_count: int = 2_000,
    seed: int = 0,
) -> LoadedDataset:
    """Draw points from Σ_k w_k N(μ_k, s_k² I); labels are the components k.

    The store's attribute `mixture` holds w, μ and s, for `load_exact_score`.

    Args:
        weights: w, (K,), positive, normalised to sum 1; None: equal.
        means: μ, (K, D), in units of the data; None: `FOUR_MODES`.
        stds: s, a number or (K,), in units of the data.
        dimension: pad the means with zeros to this dimension.
        train_count: number of training points.
        test_count: number of test points.
        seed: seed of both, below 2³².
    """
    centres = np.array(FOUR_MODES if means is None else means, dtype=np.float64)
    if dimension is not None:
        centres = np.pad(centres, ((0, 0), (0, dimension - centres.shape[1])))
    count, size = centres.shape
    shares = np.ones(count) if weights is None else np.array(weights, dtype=np.float64)
    shares = shares / shares.sum()
    spreads = np.broadcast_to(np.asarray(stds, dtype=np.float64), (count,))

    def split(number: int, random: np.random.RandomState) -> Split:
        label = random.choice(count, number, p=shares)
        noise = random.standard_normal((number, size))
        points = centres[label] + spreads[label, None] * noise
        return Split(
            points.astype(np.float32),
            label.astype(np.int64),
            class_names=[f"mode {k + 1}" for k in range(count)],
        )

    mixture = {"weights": shares, "means": centres, "stds": spreads}
    return draw_splits(
        split,
        f"mixture of {count} Gaussians in {size} dimensions",
        train_count,
        test_count,
        seed,
        attributes={"mixture": {name: values.tolist() for name, values in mixture.items()}},
    )
