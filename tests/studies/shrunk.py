"""A study reduced to seconds: the same parts and grid, with minimal sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["shrunk"]

MOST: dict[str, Any] = {
    "batch_size": 8,
    "blocks": 1,
    "channels": 4,
    "checkpoint": {},
    "chunk": 6,
    "count": 6,
    "density_bins": 2,
    "ema": 0.5,
    "gradient_accumulation": 1,
    "levels": 3,
    "log": {"image_count": 0, "weights": 1},
    "precision": "no",
    "steps": 2,
    "steps_per_level": 5,
    "warmup": 1,
    "test_count": 20,
    "train_count": 40,
    "trajectories": 2,
    "width": 4,
}
"""Name of an option to its maximum, or its replacement."""

MEASURED = {
    "kid_subset_size": 3,
    "kid_subsets": 2,
    "neighbours": 1,
    "real_count": None,
    "resamplings": 2,
    "score_error_samples": 8,
}
"""How samples and networks are evaluated in every study."""

NEEDY = {"classes", "frechet_infinity", "inception_score"}
"""Metrics that need a classifier, fetched weights, or more samples than there are."""

VALUES = 2
"""Maximum number of values of a swept option."""

NOT_HERE = {
    "cifar10": (16, 16, 3),
    "fashion_mnist": (14, 14, 1),
    "folder": (16, 16, 3),
    "mnist": (16, 16, 1),
}
"""Fetched and user datasets, and (H, W, C) of the noise that replaces them."""


def shrunk(study: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the study file `study` with steps, counts, widths, levels and grids cut.

    The ratio of neighbouring levels does not change, nor does the range of valid step sizes.
    Features are pixels: fitting a classifier takes half a minute. Unavailable data are
    replaced by noise, written to `folder`.
    """
    cut: dict[str, Any] = _cut({key: study[key] for key in study if key != "published"})
    _scale_steps(cut["sample"], study["train"]["noise"], cut["train"]["noise"])
    datasets = cut["dataset"] if isinstance(cut["dataset"], list) else [cut["dataset"]]
    cut["dataset"] = [_dataset(dataset, folder) for dataset in datasets]
    for option in ("training_step", "best_step"):  # there is one step, and no FID
        cut["sample"].pop(option, None)
    evaluate = cut["evaluate"] = cut["evaluate"] | MEASURED
    evaluate["extractors"] = ["pixels"]
    evaluate["metrics"] = [name for name in evaluate["metrics"] if name not in NEEDY]
    return cut


def _cut(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        if "sigma_max" in value:
            value = _ladder(value)
        return {key: _swept(key, found) for key, found in value.items()}
    if isinstance(value, list):
        return [_cut(item, name) for item in value]
    most = MOST.get(name)
    if most is None or value is None or isinstance(value, bool):
        return value
    return most if isinstance(most, str) else value if isinstance(value, str) else min(value, most)


def _swept(key: str, value: Any) -> Any:
    if key == "grid":
        lists = {path: _cut(values, path.split(".")[-1]) for path, values in value.items()}
        return {path: _distinct(values)[:VALUES] for path, values in lists.items()}
    if isinstance(MOST.get(key), dict):
        return MOST[key]
    if key == "hidden":
        return [4 for _ in value]
    return _cut(value, key.split(".")[-1])


def _ladder(noise: dict[str, Any]) -> dict[str, Any]:
    """Return the last levels of a ladder."""
    top, bottom, levels = noise["sigma_max"], noise["sigma_min"], noise["levels"]
    if isinstance(levels, int) and not isinstance(top, str):
        top = bottom * (top / bottom) ** ((MOST["levels"] - 1) / (levels - 1))
    return noise | {
        "sigma_max": top,
        "levels": MOST["levels"] if isinstance(levels, int) else levels,
    }


def _scale_steps(sample: dict[str, Any], whole: dict[str, Any], cut: dict[str, Any]) -> None:
    """Keep the steps of the rule "linear" at the remaining levels: they depend on the first."""
    top, left = whole.get("sigma_max"), cut.get("sigma_max")
    if isinstance(top, str) or top == left:
        return
    for group in sample.get("zip", []):
        rules, sizes = group.get("sampler.step_rule", []), group.get("sampler.step_size", [])
        for index, (rule, size) in enumerate(zip(rules, sizes, strict=False)):
            if rule == "linear":
                sizes[index] = size * left / top


def _distinct(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]


def _dataset(dataset: dict[str, Any], folder: Path) -> dict[str, Any]:
    if dataset["name"] not in NOT_HERE:
        return dataset
    path = folder / f"{dataset['name']}.npy"
    shape = (40, *NOT_HERE[dataset["name"]])
    np.save(path, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    return {"name": "array", "path": str(path), "test_fraction": 0.5}
