"""The Zarr store of a setting's samples, with seeds, diagnostics and trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from torch import Tensor

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
from scoresweep.pipeline.system.atomic_files import atomic_write

__all__ = ["Trajectories", "read_levels", "read_samples", "read_trajectories", "write_samples"]

LEVEL_ATTRIBUTES = {
    "sigma": {"long_name": "Noise level", "units": "data"},
    "step_size": {"long_name": "Step size of the level", "units": "data^2"},
    "rms": {"long_name": "Mean of |x| / sqrt(D) after the level", "units": "data"},
    "score_norm": {"long_name": "Mean of sigma |score| / sqrt(D) at the level", "units": "1"},
}


def write_samples(
    store: Path,
    x: Tensor,
    *,
    chunk_seed: Tensor,
    levels: dict[str, Tensor],
    trajectory: Tensor | None,
    original: Tensor | None = None,
    attributes: dict[str, Any],
) -> dict[str, Any]:
    """Write samples in model space to a Zarr store, atomically.

    Images (N, C, H, W) are clamped to [0, 1] and rounded to 256 grey values, as published image
    metrics are computed; points (N, D) are stored unchanged. `levels` holds diagnostics (L,),
    `trajectory` states (K, L, *sample), `original` the indices (N,) of the test samples that were
    in-painted.

    Returns the entries of the manifest: the samples' SHA-256 and a description of every file.
    """
    kind = "image" if x.ndim == 4 else "point"
    pixels = {"pixel_range": [0, 255]} if kind == "image" else None
    with atomic_write(store) as temporary:
        root = zarr.create_group(temporary, attributes=attributes)
        digest = write_array(root, kind, _stored(x), DIMENSIONS[kind], pixels)
        write_array(root, "chunk_seed", chunk_seed.numpy(), ("sample",))
        for name, values in levels.items():
            write_array(root, name, values.double().numpy(), ("level",), LEVEL_ATTRIBUTES[name])
        if trajectory is not None:
            frames = trajectory.movedim(2, -1) if kind == "image" else trajectory
            names = ("path", "level", *DIMENSIONS[kind][1:])
            write_array(root, "trajectory", frames.contiguous().numpy(), names)
        if original is not None:
            label = {"long_name": "Index of the test sample of which a part was given"}
            write_array(root, "original", original.numpy(), ("sample",), label)
        consolidate_metadata(temporary)
        return {"sha256": digest, **describe_files(temporary)}


def _stored(x: Tensor) -> npt.NDArray[Any]:
    if x.ndim != 4:
        return np.asarray(x.float().numpy())
    return np.asarray((x.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy())


@dataclass(frozen=True)
class Trajectories:
    """Sampling trajectories."""

    states: Array
    """State after each level, float32 (K, L, C, H, W) or (K, L, D)."""
    sigmas: list[float]
    """σ of each level."""


def read_samples(store: Path) -> Split:
    """Read a store of generated samples (arrays in its root group) into memory.

    Raises `InputError` if it is missing, truncated or damaged.
    """
    expected = check_store(store)["sha256"]
    group = zarr.open_group(store, mode="r")
    name = next((name for name in DIMENSIONS if name in group), None)
    if name is None:
        raise InputError(
            f"{store}: expected an array `image` or `point`, found neither. {REPAIR_HINT}"
        )
    values = read_zarr_array(group, name, store)
    verify_array(store, name, values, expected)
    return to_split(group, {name: values})


def read_trajectories(store: Path) -> Trajectories | None:
    """Read the trajectories of a store of generated samples; None if it has none.

    Raises `InputError` if they are damaged.
    """
    group = zarr.open_group(store, mode="r")
    if "trajectory" not in group:
        return None
    states = read_zarr_array(group, "trajectory", store)
    sigmas: list[float] = read_zarr_array(group, "sigma", store).tolist()
    return Trajectories(np.moveaxis(states, -1, 2) if states.ndim == 5 else states, sigmas)


def read_levels(store: Path) -> dict[str, Array]:
    """Read `sigma`, `step_size` and `score_norm` (L,) of a store of generated samples.

    Raises `InputError` if they are damaged.
    """
    group = zarr.open_group(store, mode="r")
    names = ("sigma", "step_size", "score_norm")
    return {name: read_zarr_array(group, name, store) for name in names}
