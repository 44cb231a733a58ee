"""Values that are masked, scaled or shifted by CF attributes, decoded by xarray.

See https://cfconventions.org, "Missing data" and "Packed data".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.data.array_files.variables import Array

__all__ = ["decode", "inherited", "values_of"]

CODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
INHERITED = ("pixel_range", "class_names")
"""Attributes that also count when a group or the root has them."""


def decode(name: str, values: Array, attributes: Mapping[str, Any]) -> Array:
    """Apply the attributes to values that xarray has not opened itself."""
    coded = {key: attributes[key] for key in CODED if key in attributes}
    if not coded:
        return values
    variable = xr.Variable([f"axis_{i}" for i in range(values.ndim)], values, coded)
    return values_of(xr.conventions.decode_cf_variable(name, variable, decode_times=False))


def values_of(variable: xr.Variable | xr.DataArray) -> Array:
    """Return decoded values; whole numbers stay whole if none of them was missing.

    xarray turns integers with a fill value into floats, since NaN marks missing values.
    """
    values: Array = np.asarray(variable.values)
    stored, encoding = variable.encoding.get("dtype"), variable.encoding
    is_packed = "scale_factor" in encoding or "add_offset" in encoding
    if stored is None or is_packed or values.dtype.kind != "f":
        return values
    stored = np.dtype(stored)
    if stored.kind not in "iu" or not np.isfinite(values).all():
        return values
    if str(encoding.get("_Unsigned", "")).lower() == "true":
        stored = np.dtype(f"u{stored.itemsize}")
    return values.astype(stored)


def inherited(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an array, with those of its groups that count for it, root first."""
    *groups, own = levels
    found = {key: group[key] for group in groups for key in INHERITED if key in group}
    return {**found, **own}
