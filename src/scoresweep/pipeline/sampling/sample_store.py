"""The store of a setting's samples: samples, the seeds they were drawn from, diagnostics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from torch import Tensor

from scoresweep.pipeline.data.manifest import AGAIN, check_store, describe_files
from scoresweep.pipeline.data.split import Array, Split
from scoresweep.pipeline.data.store import (
    DIMENSIONS,
    as_split,
    check_array,
    consolidate,
    read_array,
    write_array,
)
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
    """Write samples in model space to a Zarr store, whole or not at all.

    Returns what its manifest has to say: their SHA-256, and what tells whether each file is whole.

    Images (N, C, H, W) are clamped to [0, 1] and kept as the nearest of 256 grey values, the form
    in which image metrics are published; points (N, D) are kept as they are. `levels` holds
    diagnostics of shape (L,), `trajectory` states of shape (K, L, *sample), `original` the indices
    (N,) of the test samples of which a part was given.
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
            about = {"long_name": "Index of the test sample of which a part was given"}
            write_array(root, "original", original.numpy(), ("sample",), about)
        consolidate(temporary)
        return {"sha256": digest, **describe_files(temporary)}


def _stored(x: Tensor) -> npt.NDArray[Any]:
    if x.ndim != 4:
        return np.asarray(x.float().numpy())
    return np.asarray((x.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy())


@dataclass(frozen=True)
class Trajectories:
    """The ways of some samples down the noise ladder."""

    states: Array
    """State after each level, float32 (K, L, C, H, W) or (K, L, D)."""
    sigmas: list[float]
    """σ of each level."""


def read_samples(store: Path) -> Split:
    """Read a store of generated samples (arrays in its root group) into memory.

    Raises `InputError` where it is missing, cut short or damaged.
    """
    expected = check_store(store)["sha256"]
    group = zarr.open_group(store, mode="r")
    name = next((name for name in DIMENSIONS if name in group), None)
    if name is None:
        raise InputError(f"{store}: holds neither `image` nor `point`. {AGAIN}")
    values = read_array(group, name, store)
    check_array(store, name, values, expected)
    return as_split(group, {name: values})


def read_trajectories(store: Path) -> Trajectories | None:
    """Read the paths from a store of generated samples; None where they were not kept.

    Raises `InputError` where they are damaged.
    """
    group = zarr.open_group(store, mode="r")
    if "trajectory" not in group:
        return None
    states = read_array(group, "trajectory", store)
    sigmas: list[float] = read_array(group, "sigma", store).tolist()
    return Trajectories(np.moveaxis(states, -1, 2) if states.ndim == 5 else states, sigmas)


def read_levels(store: Path) -> dict[str, Array]:
    """Read `sigma`, `step_size` and `score_norm` (L,) of the levels of generated samples.

    Raises `InputError` where that is damaged.
    """
    group = zarr.open_group(store, mode="r")
    names = ("sigma", "step_size", "score_norm")
    return {name: read_array(group, name, store) for name in names}
