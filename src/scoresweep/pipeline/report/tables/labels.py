"""Labels of the values of axes: as attributes of files, and in place of the values on the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.study.labels import Labels

__all__ = ["LABELS", "label_attribute", "read_labels", "with_labels"]

LABELS = "labels"
"""Attribute of the coordinate of an axis: a JSON object that maps values to labels."""


def label_attribute(labels: Mapping[Any, str]) -> dict[str, str]:
    """Return the attribute of a coordinate that holds `labels`; nothing without any."""
    return {LABELS: json.dumps(labels, ensure_ascii=False)} if labels else {}


def read_labels(coordinate: xr.DataArray) -> dict[str, str]:
    """Return the labels of the values of a coordinate."""
    return dict(json.loads(coordinate.attrs.get(LABELS, "{}")))


def with_labels(tree: xr.DataTree, labels: Labels) -> xr.DataTree:
    """Return a report's tree with labels in place of the values that have some."""
    groups = {name: group.to_dataset() for name, group in tree.children.items()}
    shown = {name: _relabelled(group, labels) for name, group in groups.items()}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=tree.attrs), **shown})


def _relabelled(group: xr.Dataset, labels: Labels) -> xr.Dataset:
    coordinates = {}
    for axis, known in labels.items():
        if axis in group.coords:
            old = group.coords[axis]
            new = np.array([known.get(value, value) for value in old.values.tolist()], dtype=object)
            coordinates[axis] = (old.dims, new, old.attrs)
    return group.assign_coords(coordinates)
