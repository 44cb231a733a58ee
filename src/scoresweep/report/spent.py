"""What the stages cost: seconds, and on how many devices of which kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from scoresweep.labels import label

__all__ = ["SPENT", "spent"]

SPENT = ("seconds", "devices", "device")
"""Variables; seconds times devices are device-seconds, where starts were alike."""


def spent(shape: Mapping[str, int], files: Iterable[tuple[tuple[int, ...], Path]]) -> xr.Dataset:
    """Return seconds, devices and device of pieces of work, each at its position in `shape`.

    A file is NetCDF with those attributes, or JSON with those keys. What a file does not tell, and
    what has no file, is NaN or "".
    """
    sizes = tuple(shape.values())
    seconds, devices = np.full(sizes, np.nan), np.full(sizes, np.nan)
    device = np.full(sizes, "", dtype=object)
    for position, path in files:
        facts = _facts(path)
        seconds[position] = facts.get("seconds", np.nan)
        devices[position] = facts.get("devices", np.nan)
        device[position] = str(facts.get("device", ""))
    values = {"seconds": seconds, "devices": devices, "device": device}
    return xr.Dataset({name: (tuple(shape), values[name], label(name)) for name in SPENT})


def _facts(path: Path) -> dict[str, Any]:
    """Return what a file says of the work that made it; nothing where it cannot be read."""
    try:
        if path.suffix == ".json":
            return dict(json.loads(path.read_text(encoding="utf-8")))
        with h5py.File(path, "r") as file:
            # NetCDF's numbers are arrays of one.
            there = [name for name in SPENT if name in file.attrs]
            return {name: np.asarray(file.attrs[name]).flat[0] for name in there}
    except (OSError, ValueError):
        return {}
