"""Coordinates of successive halving: how many samples a setting has, and if it was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.results import Outcome

__all__ = ["COUNT", "DROPPED_AT", "IN_DOUBT", "SETTING_AT_COUNT", "HalvingCoordinates"]

COUNT = "count"
"""Coordinate and column of the number of samples, if it differs between settings; also the axis of
a swept `sample.count`. Values of unequal count are never compared."""

DROPPED_AT = "dropped_at"
IN_DOUBT = "dropped_in_doubt"
SETTING_AT_COUNT = "setting_at_count"

DOUBT = {True: "yes", False: "no", None: "unknown"}


class HalvingCoordinates:
    """Arrays over `shape` (dimension to size): how far each setting of each run got."""

    def __init__(self, shape: Mapping[str, int]) -> None:
        sizes, self._dims = tuple(shape.values()), tuple(shape)
        self._counts = np.zeros(sizes, dtype=np.int64)
        self._dropped_at = np.zeros(sizes, dtype=np.int64)
        self._in_doubt = np.full(sizes, "", dtype=object)
        self._settings = np.full(sizes, "", dtype=object)

    def add(self, position: tuple[int, ...], outcome: Outcome) -> None:
        """Store the outcome of one setting at `position`."""
        count = self._counts[position] = outcome.setting.sample.count
        self._settings[position] = outcome.setting.id
        if outcome.is_dropped:
            self._dropped_at[position] = count
            self._in_doubt[position] = DOUBT[outcome.in_doubt]

    def counts(self) -> xr.DataArray:
        """Return the number of samples of each setting; 0 where the study has none."""
        return xr.DataArray(self._counts, dims=self._dims)

    def coordinates(self) -> dict[str, Any]:
        """Return the coordinates with their labels."""
        count = {"long_name": "number of samples that the setting reached", "units": "1"}
        dropped = {"long_name": "number of samples at which it was dropped, or 0", "units": "1"}
        doubt = {"long_name": "dropped, though its interval overlaps that of one that was kept"}
        setting = {"long_name": "name of its metrics file: id at that number of samples"}
        return {
            COUNT: (self._dims, self._counts, count),
            DROPPED_AT: (self._dims, self._dropped_at, dropped),
            IN_DOUBT: (self._dims, self._in_doubt, doubt),
            SETTING_AT_COUNT: (self._dims, self._settings, setting),
        }
