"""The Zarr store of samples, with seeds, diagnostics and trajectories.

A store grows: settings that differ in their number of samples share one, and each reads its first
samples. The manifest holds the SHA-256 of the first n samples for every n that was asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import zarr

from scoresweep.pipeline.data.dataset_store import (
    DIMENSIONS,
    consolidate_metadata,
    read_zarr_array,
    to_split,
    verify_array,
    write_array,
)
from scoresweep.pipeline.data.split import Array, Split
from scoresweep.pipeline.data.store_manifest import REPAIR_HINT, check_store, describe_files
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.input_hashes import SHA256_OF_FIRST, samples_sha256
from scoresweep.pipeline.system.atomic_files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DIAGNOSTICS",
    "Trajectories",
    "channels_last",
    "hash_first",
    "read_arrays",
    "read_levels",
    "read_samples",
    "read_trajectories",
    "sample_array",
    "write_arrays",
]

DIAGNOSTICS = ("rms", "score_norm")
"""Diagnostics of each chunk (chunk, L); in a store of an earlier version their mean (L,)."""

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "image": {"pixel_range": [0, 255]},
    "sigma": {"long_name": "Noise level", "units": "data"},
    "step_size": {"long_name": "Step size of the level", "units": "data^2"},
    "rms": {"long_name": "Mean of |x| / sqrt(D) after the level", "units": "data"},
    "score_norm": {"long_name": "Mean of sigma |score| / sqrt(D) at the level", "units": "1"},
    "original": {"long_name": "Index of the test sample of which a part was given"},
}


def write_arrays(
    store: Path,
    arrays: dict[str, Array],
    attributes: dict[str, Any],
    counts: Iterable[int] = (),
    replaced: Path | None = None,
) -> dict[str, Any]:
    """Write a store atomically; an existing one is moved to `replaced`, if given.

    Returns the entries of the manifest: the SHA-256 of all samples and of the first n of them for
    each n in `counts`, and a description of every file.
    """
    name = _sample_name(store, arrays)
    with atomic_write(store, replaced=replaced) as temporary:
        root = zarr.create_group(temporary, attributes=attributes)
        digests = {
            key: write_array(root, key, values, _dimensions(key, values, name), ATTRIBUTES.get(key))
            for key, values in arrays.items()
        }
        consolidate_metadata(temporary)
        first = hash_first(arrays[name], counts)
        return {"sha256": digests[name], SHA256_OF_FIRST: first, **describe_files(temporary)}


def _dimensions(key: str, values: Array, sample: str) -> tuple[str, ...]:
    """Return the names of the dimensions of an array in a store of the kind `sample`."""
    if key == sample:
        return DIMENSIONS[sample]
    if key == "trajectory":
        return ("path", "level", *DIMENSIONS[sample][1:])
    if key in ("chunk_seed", "original"):
        return ("sample",)
    return ("chunk", "level")[-values.ndim :]


def sample_array(x: Tensor) -> Array:
    """Return samples in model space as a store holds them.

    Images (N, C, H, W) are clamped to [0, 1] and rounded to 256 grey values, as published image
    metrics are computed, (N, H, W, C); points (N, D) are unchanged.
    """
    if x.ndim != 4:
        return np.asarray(x.float().numpy())
    return np.asarray((channels_last(x).clamp(0, 1) * 255).round().byte().numpy())


def channels_last(x: Tensor) -> Tensor:
    """Move the channels of images (..., C, H, W) with at least one axis before to the end."""
    return x.movedim(-3, -1).contiguous() if x.ndim >= 4 else x


def hash_first(values: Array, counts: Iterable[int]) -> dict[str, str]:
    """Return the SHA-256 of the first n samples for each n in `counts` that is not too large."""
    digest, done, hashes = hashlib.sha256(), 0, dict[str, str]()
    for count in sorted({count for count in counts if count <= len(values)}):
        digest.update(np.ascontiguousarray(values[done:count]).data)
        done, hashes[str(count)] = count, digest.copy().hexdigest()
    return hashes


@dataclass(frozen=True)
class Trajectories:
    """Sampling trajectories."""

    states: Array
    """State after each level, float32 (K, L, C, H, W) or (K, L, D)."""
    sigmas: list[float]
    """σ of each level."""


def read_samples(store: Path, count: int | None = None) -> Split:
    """Read the first `count` generated samples of a store into memory; all of them by default.

    Raises `InputError` if it is missing, truncated or damaged, or has fewer samples.
    """
    manifest = check_store(store)
    group = zarr.open_group(store, mode="r")
    name = _sample_name(store, group)
    expected = None if count is None else samples_sha256(manifest, count)
    if expected is None:  # without a hash of the first samples, only all of them can be verified
        values = read_zarr_array(group, name, store)
        verify_array(store, name, values, manifest["sha256"])
    else:
        values = read_zarr_array(group, name, store, count)
        verify_array(store, name, values, expected)
    if count is not None and len(values) < count:
        raise InputError(
            f"{store}: has {len(values):,} samples, expected {count:,} or more. {REPAIR_HINT}"
        )
    return to_split(group, {name: values[:count]})


def _sample_name(store: Path, arrays: zarr.Group | dict[str, Array]) -> str:
    """Return the name of the array of samples: `image` or `point`."""
    for name in DIMENSIONS:
        if name in arrays:
            return name
    raise InputError(f"{store}: expected an array `image` or `point`, found neither. {REPAIR_HINT}")


def read_arrays(store: Path) -> dict[str, Array]:
    """Read all arrays of a store of generated samples by name, as `write_arrays` takes them.

    Raises `InputError` if it is missing or damaged.
    """
    manifest = check_store(store)
    group = zarr.open_group(store, mode="r")
    arrays = {name: read_zarr_array(group, name, store) for name in group.array_keys()}
    name = _sample_name(store, arrays)
    verify_array(store, name, arrays[name], manifest["sha256"])
    return arrays


def read_trajectories(store: Path, count: int | None = None) -> Trajectories | None:
    """Read the trajectories of the first `count` samples of a store; None if it has none.

    Raises `InputError` if they are damaged.
    """
    group = zarr.open_group(store, mode="r")
    if "trajectory" not in group:
        return None
    states = read_zarr_array(group, "trajectory", store)[:count]
    sigmas: list[float] = read_zarr_array(group, "sigma", store).tolist()
    return Trajectories(np.moveaxis(states, -1, 2) if states.ndim == 5 else states, sigmas)


def read_levels(store: Path, chunks: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """Read `sigma`, `step_size` and `score_norm` (L,) of a store of generated samples.

    `score_norm` is the mean over the first `chunks` chunks; over all of them by default, and in a
    store of an earlier version.

    Raises `InputError` if they are damaged.
    """
    import torch  # takes seconds; readers of samples, such as the report, do without it

    group = zarr.open_group(store, mode="r")
    names = ("sigma", "step_size", "score_norm")
    levels = {name: read_zarr_array(group, name, store) for name in names}
    if levels["score_norm"].ndim == 2:
        by_chunk = torch.from_numpy(levels["score_norm"][:chunks])
        levels["score_norm"] = by_chunk.mean(0).numpy()
    return levels
