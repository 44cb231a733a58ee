"""Sample shape and number of samples of a dataset: from its staged manifest, else its options."""

from __future__ import annotations

import json

from scoresweep.pipeline.study.methods.datasets import Dataset, Size
from scoresweep.pipeline.study.paths import StudyPaths

__all__ = ["dataset_size", "training_count"]


def dataset_size(paths: StudyPaths, dataset: Dataset) -> Size | None:
    """Return sample shape and number of samples; None if only staging can tell."""
    shapes = _staged_shapes(paths, dataset)
    if shapes is None:
        return dataset.known_size
    _, *sample = shapes["train"]
    shape = (sample[-1], *sample[:-1]) if len(sample) == 3 else tuple(sample)
    return shape, sum(shape[0] for shape in shapes.values())


def training_count(paths: StudyPaths, dataset: Dataset) -> int | None:
    """Return the number of training samples, or an upper bound before staging; None if unknown."""
    shapes = _staged_shapes(paths, dataset)
    if shapes is not None:
        return shapes["train"][0]
    limits = (getattr(dataset, "train_count", None), dataset.subset)
    return min((limit for limit in limits if limit is not None), default=None)


def _staged_shapes(paths: StudyPaths, dataset: Dataset) -> dict[str, list[int]] | None:
    """Return the array shape of each split; None if the manifest is missing or damaged."""
    manifest = paths.dataset_manifest(dataset.id)
    try:
        splits = json.loads(manifest.read_text(encoding="utf-8"))["splits"]
        shapes = {
            name: list(split.get("image", split.get("point"))["shape"])
            for name, split in splits.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return shapes if "train" in shapes else None
