"""Shape and number of the samples of a dataset, as far as they are known."""

from __future__ import annotations

import json

from scoresweep.pipeline.study.methods.datasets import Dataset, Size
from scoresweep.pipeline.study.paths import StudyPaths

__all__ = ["known_size", "known_training_count"]


def known_size(layout: StudyPaths, dataset: Dataset) -> Size | None:
    """Return shape and number of samples, as staged or as known before; None before staging."""
    shapes = _staged_shapes(layout, dataset)
    if shapes is None:
        return dataset.known_size
    _, *sample = shapes["train"]
    shape = (sample[-1], *sample[:-1]) if len(sample) == 3 else tuple(sample)
    return shape, sum(shape[0] for shape in shapes.values())


def known_training_count(layout: StudyPaths, dataset: Dataset) -> int | None:
    """Return how many training samples there are at most; None before staging."""
    shapes = _staged_shapes(layout, dataset)
    if shapes is not None:
        return shapes["train"][0]
    options = (getattr(dataset, "train_count", None), dataset.subset)
    return min((count for count in options if count is not None), default=None)


def _staged_shapes(layout: StudyPaths, dataset: Dataset) -> dict[str, list[int]] | None:
    """Return the shape of each split's array; None if there is no manifest, or a damaged one."""
    path = layout.dataset_manifest(dataset.id)
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
        shapes = {
            name: list(split.get("image", split.get("point"))["shape"])
            for name, split in splits.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return shapes if "train" in shapes else None
