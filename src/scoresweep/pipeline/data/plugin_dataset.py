"""Load the dataset of a plugin."""

from __future__ import annotations

from typing import Any

import numpy as np

from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.split import Array, Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredDataset
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure

__all__ = ["load_plugin_dataset"]

EXPECTED = (
    "expected (train, test), each an array of samples or a pair (samples, labels): images "
    "(N, H, W, C) of uint8 or of numbers in [0, 1], or points (N, D), with N of 2 or more"
)


def load_plugin_dataset(dataset: DeclaredDataset, options: dict[str, Any]) -> LoadedDataset:
    """Call the function of a plugin's dataset, and check what it returns.

    Global random numbers are seeded, so that the same study has the same data everywhere.

    Raises `InputError` if it fails, or does not return samples.
    """
    from scoresweep.pipeline.system.random_state import seeded_globally

    origin = dataset.origin
    assert origin is not None
    hooks = origin.declaration.hooks
    try:
        with seeded_globally(0):
            found = dataset.load()(**options)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
        raise InputError(describe_failure(error, origin)) from None
    try:
        train, test = map(_split, found)
    except Exception as error:  # noqa: BLE001 - NumPy raises many types
        raise InputError(f"{origin}: returned something else: {error}; {EXPECTED}") from None
    if train.shape != test.shape or train.values.dtype != test.values.dtype:
        raise InputError(
            f"{origin}: returned training samples of shape {train.shape}, {train.values.dtype}, "
            f"and test samples of shape {test.shape}, {test.values.dtype}; expected the same"
        )
    if hooks["shape"] is None and _may_be_channels_first(train.values.shape[1:]):
        raise InputError(
            f"{origin}: returned images of {train.values.shape}: the second axis may be the "
            f"channels; expected (N, H, W, C): use transpose(0, 2, 3, 1) in NumPy, or, if the "
            f"order is right, declare @dataset(shape=(C, H, W), count=ALL_SAMPLES)"
        )
    size = train.shape, len(train.values) + len(test.values)
    if dataset.known_size not in (None, size):
        raise InputError(
            f"{origin}: returned {size[1]} samples of shape {size[0]}; expected what its "
            f"decorator declares, count={hooks['count']} and shape={tuple(hooks['shape'])}"
        )
    sha256 = origin.plugin.sha256
    files = {origin.plugin.path.name: sha256} if sha256 else {}  # none of a built-in dataset
    source = hooks["source"] or f"the plugin {origin.plugin.source}"
    return LoadedDataset(train, test, source, hooks["licence"], files)


def _split(part: Any) -> Split:
    """Return samples, or samples and labels, as a split; raise ValueError if they are neither."""
    values, labels = part if isinstance(part, tuple | list) and len(part) == 2 else (part, None)
    values = np.asarray(values)
    if values.ndim not in (2, 4) or len(values) < 2 or values.dtype.kind not in "uif":
        raise ValueError(f"samples of shape {values.shape}, {values.dtype}")
    if values.dtype != np.uint8:
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("samples that are not finite")
    pixel_range = None
    if values.ndim == 4:
        pixel_range = (0.0, 255.0) if values.dtype == np.uint8 else (0.0, 1.0)
        if values.min() < pixel_range[0] or values.max() > pixel_range[1]:
            raise ValueError(f"pixels from {values.min():g} to {values.max():g}")
    else:
        values = values.astype(np.float32)
    return Split(values, _labels(labels, len(values)), pixel_range)


def _may_be_channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether images (H, W, C) of this shape rather look like grey or colour (C, H, W)."""
    return len(shape) == 3 and shape[0] in (1, 3) and shape[1] > 3 and shape[2] > 4


def _labels(labels: Any, count: int) -> Array | None:
    if labels is None:
        return None
    found = np.asarray(labels)
    if found.shape != (count,) or found.dtype.kind not in "ui":
        raise ValueError(f"labels of shape {found.shape}, {found.dtype}")
    return found.astype(np.int64)
