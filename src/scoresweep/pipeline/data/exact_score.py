"""Load the exact score of a staged dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.store_manifest import check_store

if TYPE_CHECKING:
    from scoresweep.distributions import GaussianMixture

__all__ = ["load_exact_score"]


def load_exact_score(store: Path) -> GaussianMixture:
    """Return the distribution whose score is the exact score of this dataset.

    For a Gaussian mixture (the store's attribute `mixture`, {"weights": (K,), "means": (K, D),
    "stds": (K,)}) this is the mixture, otherwise the smoothed training set (`SmoothedData`).
    Raises `InputError` if the store is missing or damaged.
    """
    import torch

    from scoresweep.distributions import GaussianMixture, SmoothedData

    mixture = check_store(store)["attributes"].get("mixture")
    if mixture is None:
        return SmoothedData(read_split(store, "train").model_space())
    return GaussianMixture(
        *(torch.tensor(mixture[name], dtype=torch.float64) for name in ("weights", "means", "stds"))
    )
