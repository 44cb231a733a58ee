"""NetCDF files of measurements: one dataset for all points of the evaluation grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import xarray as xr

from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.system.atomic_files import atomic_write

__all__ = ["compute_cost", "join_evaluations", "write_dataset"]


def join_evaluations(parts: Sequence[tuple[xr.Dataset, Point]]) -> xr.Dataset:
    """Join the points of the evaluation grid; each of its axes becomes a dimension."""
    labelled = [
        content.expand_dims({name: [value] for name, value in axes.items()})
        for content, axes in parts
    ]
    return xr.merge(labelled, join="outer", compat="no_conflicts")


def compute_cost(started: float, device: torch.device) -> dict[str, float | int | str]:
    """Return the seconds since `started` (`time.monotonic`) and the devices used, as attributes."""
    on_gpu = device.type == "cuda"
    return {
        "seconds": time.monotonic() - started,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "devices": 1 if on_gpu else torch.get_num_threads(),
    }


def write_dataset(content: xr.Dataset, path: Path) -> None:
    """Write a NetCDF file atomically."""
    with atomic_write(path) as temporary:
        content.to_netcdf(temporary, engine="h5netcdf")
