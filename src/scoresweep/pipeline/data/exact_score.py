"""The exact score of a dataset, from its store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scoresweep.pipeline.data.manifest import check_store
from scoresweep.pipeline.data.store import read_split

if TYPE_CHECKING:
    from scoresweep.distributions import GaussianMixture

__all__ = ["load_exact_score"]


def load_exact_score(store: Path) -> GaussianMixture:
    """Return the distribution whose score a network of this data is compared with.

    That is the mixture that the samples were drawn from, where the store's attribute `mixture`
    names one ({"weights": (K,), "means": (K, D), "stds": (K,)}), and else the smoothed training set
    (`SmoothedData`). Raises `InputError` where the store is missing, cut short or damaged.
    """
    import torch

    from scoresweep.distributions import GaussianMixture, SmoothedData

    mixture = check_store(store)["attributes"].get("mixture")
    if mixture is None:
        return SmoothedData(read_split(store, "train").model_space())
    return GaussianMixture(
        *(torch.tensor(mixture[name], dtype=torch.float64) for name in ("weights", "means", "stds"))
    )
