"""Shape and number of the samples of a dataset, as far as they are known."""

from __future__ import annotations

import json

from scoresweep.study.components.datasets import Dataset, Size
from scoresweep.study.layout import Layout

__all__ = ["known_size"]


def known_size(layout: Layout, dataset: Dataset) -> Size | None:
    """Return shape and number of samples, as staged or as known before; None before staging."""
    path = layout.dataset_manifest(dataset.id)
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"].values()
        shapes = [split.get("image", split.get("point"))["shape"] for split in splits]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return dataset.known_size  # not staged, or damaged: staging says which
    _, *sample = shapes[0]
    shape = (sample[-1], *sample[:-1]) if len(sample) == 3 else tuple(sample)
    return shape, sum(shape[0] for shape in shapes)
