"""Decode masked and packed values with the CF attributes.

See https://cfconventions.org, "Missing data" and "Packed data".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.data.array_files.variables import Array

__all__ = ["decode_cf", "decoded_values", "inherit_attributes"]

CODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
INHERITED = ("pixel_range", "class_names")
"""Attributes that arrays inherit from their groups."""


def decode_cf(name: str, values: Array, attributes: Mapping[str, Any]) -> Array:
    """Apply CF attributes to values that were not read by xarray."""
    coded = {key: attributes[key] for key in CODED if key in attributes}
    if not coded:
        return values
    variable = xr.Variable([f"axis_{i}" for i in range(values.ndim)], values, coded)
    return decoded_values(xr.conventions.decode_cf_variable(name, variable, decode_times=False))


def decoded_values(variable: xr.Variable | xr.DataArray) -> Array:
    """Return the values that xarray decoded; integers stay integers if no value is missing.

    xarray converts integers with a fill value to floats, because it marks missing values with NaN.
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


def inherit_attributes(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an array, given those of its groups (root first) and its own."""
    *groups, array = levels
    inherited = {key: group[key] for group in groups for key in INHERITED if key in group}
    return {**inherited, **array}
