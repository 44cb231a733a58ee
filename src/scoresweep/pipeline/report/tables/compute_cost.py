"""What the stages cost: seconds, and on how many devices of which kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

__all__ = ["MEASURING", "SPENT", "compute_cost_dataset", "read_cost", "spent_in"]

SPENT = ("seconds", "devices", "device")
"""Variables, and what files of results call them. Seconds times devices are device-seconds, where
starts were alike."""

MEASURING = "evaluate_"
"""Before the names of what the measuring of samples cost, which stands beside their drawing."""

Facts = Mapping[str, Any]


def compute_cost_dataset(
    shape: Mapping[str, int], facts: Iterable[tuple[tuple[int, ...], Facts]], prefix: str = ""
) -> xr.Dataset:
    """Return seconds, devices and device of pieces of work, each at its position in `shape`.

    What the facts of a piece do not tell, and what has no facts, is NaN or "".
    """
    sizes = tuple(shape.values())
    seconds, devices = np.full(sizes, np.nan), np.full(sizes, np.nan)
    device = np.full(sizes, "", dtype=object)
    for position, told in facts:
        seconds[position] = told.get("seconds", np.nan)
        devices[position] = told.get("devices", np.nan)
        device[position] = str(told.get("device", ""))
    values = {"seconds": seconds, "devices": devices, "device": device}
    return xr.Dataset({prefix + name: (tuple(shape), values[name]) for name in SPENT})


def read_cost(path: Path) -> dict[str, Any]:
    """Return what a file, NetCDF or JSON, says of the work that made it; nothing if unreadable."""
    try:
        if path.suffix == ".json":
            return dict(json.loads(path.read_text(encoding="utf-8")))
        with h5py.File(path, "r") as file:
            return spent_in(file)
    except (OSError, ValueError):
        return {}


def spent_in(file: h5py.File) -> dict[str, Any]:
    """Return those of the attributes of a NetCDF file that say what it cost."""
    # NetCDF's numbers are arrays of one.
    there = [name for name in SPENT if name in file.attrs]
    return {name: np.asarray(file.attrs[name]).flat[0] for name in there}
