"""Read the group `summary` of a `report.nc`, and choose from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from scoresweep.pipeline.errors import InputError, did_you_mean, join_names
from scoresweep.pipeline.report.format import format_value
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.labels import read_labels
from scoresweep.pipeline.report.tables.summary_group import METRIC_FACTS, free_name
from scoresweep.pipeline.study.methods.method_names import explain_name

__all__ = ["SavedSummary", "read_summary"]


@dataclass(frozen=True)
class SavedSummary:
    """The means, intervals and ranks of a report."""

    path: Path
    axes: list[str]
    """Swept axes but repeats."""
    within: list[str]
    """Axes whose values are not compared."""
    rows: pd.DataFrame
    """A row for each metric and configuration: `metric`, its axes, and the columns of the group."""
    metrics: dict[str, dict[str, str]]
    """Facts about each metric by its name, the main one first."""
    fixed: Mapping[str, Any]
    """Axes that `at` fixed, with their values."""
    values: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    """Axis and label to the value that the label stands for in `rows`."""

    def axis(self, name: str, option: str) -> str:
        """Return the axis called `name`; raise `InputError`, naming `option`, if there is none."""
        for known in (name, free_name(name)):
            if known in self.axes:
                return known
        expected = (
            f"Expected one of {join_names(self.axes)}; seeds are averaged"
            if self.axes
            else "Only seeds are swept, and they are averaged; summary.csv has the numbers"
        )
        raise InputError(
            f"{option} {name}: {self.path} has no such axis.{did_you_mean(name, self.axes)} "
            f"{expected}"
        )

    def metric(self, name: str) -> str:
        """Return `name`; raise `InputError` if the report has no such metric."""
        if name not in self.metrics:
            raise InputError(
                f"--metric {name}: {self.path} has no such metric."
                f"{explain_name(name, self.metrics)} Expected one of {join_names(self.metrics)}"
            )
        return name

    def at(self, places: Sequence[str]) -> SavedSummary:
        """Return the part at `places`, each like "step_size=2e-5".

        Raises `InputError` if one is not of that form, or the axis has no such value.
        """
        rows, fixed = self.rows, dict(self.fixed)
        for place in places:
            name, sign, text = place.partition("=")
            if not sign:
                raise InputError(f"--at {place}: expected AXIS=VALUE, such as --at levels=10")
            axis = self.axis(name.strip(), "--at")
            values = self.rows[axis].unique().tolist()
            own = self.values.get(axis, {})
            found = [
                value
                for value in values
                if any(_is_written(v, text.strip()) for v in (value, own.get(value, value)))
            ]
            if not found:
                known = [format_value(value) for value in values]
                raise InputError(
                    f"--at {place}: {axis} has no such value.{did_you_mean(text, known)} Expected "
                    f"one of {join_names(known)}"
                )
            rows, fixed[axis] = rows[rows[axis] == found[0]], found[0]
        return replace(self, rows=rows, fixed=fixed)

    def cells(self, metrics: Sequence[str], shown: Mapping[str, str], places: str) -> pd.DataFrame:
        """Return the rows of `metrics`: one at each point of the axes that are keys of `shown`.

        The values of `shown` are the command line options that name the axes; `places` are those
        that can name further ones. Raises `InputError` if a point has several configurations,
        points differ in their number of samples without showing it, or there is no row.
        """
        for axis, option in shown.items():
            if axis in self.fixed:
                raise InputError(f"{option} {axis}: --at fixes this axis; leave one of them out")
        rows = self.rows[self.rows["metric"].isin(metrics)]
        if rows.empty:
            raise InputError(f"{self.path}: no measured setting there; choose other values of --at")
        points = rows.groupby(["metric", *shown], sort=False)
        several = [a for a in self.axes if a not in shown and (points[a].nunique() > 1).any()]
        reason = ""
        if COUNT in self.axes and COUNT not in shown and rows[COUNT].nunique() > 1:
            several = list(dict.fromkeys([*several, COUNT]))
            reason = f", and values of unequal {COUNT} are not compared"
        if several:
            known = [
                f"{axis} ({join_names(map(format_value, rows[axis].unique().tolist()))})"
                for axis in several
            ]
            raise InputError(
                f"{self.path}: only seeds are averaged{reason}, so {' and '.join(known)} "
                f"need{'s' * (len(known) == 1)} a place. Fix each by --at {several[0]}=VALUE, or "
                f"name it in {places}"
            )
        return rows.reset_index(drop=True)


def read_summary(path: Path) -> SavedSummary:
    """Read the summary of a `report.nc`.

    Raises `InputError` if the file is missing, damaged or not a report, or has no summary.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the report.nc of a study")
    try:
        group = xr.load_dataset(path, group="summary", engine="h5netcdf")
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: has no group summary ({error}); expected a report.nc of this version. "
            f"`scoresweep report STUDY` writes it again, without recomputing a result"
        ) from error
    axes, within = (_text_list(group.attrs.get(key, [])) for key in ("axes", "compared_within"))
    facts = [str(name) for name in METRIC_FACTS]
    names = group["metric"].values.astype(str).tolist()
    metrics = {
        name: {fact: str(group[fact].values[index]) for fact in facts}
        for index, name in enumerate(names)
    }
    rows = group.drop_vars(facts).to_dataframe().reset_index()
    rows = rows[rows["mean"].notna()].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{path}: no measured setting, so there is no number to show")
    labels = {axis: read_labels(group[axis]) for axis in axes}
    for axis, known in labels.items():
        if known:
            rows[axis] = [known.get(value, value) for value in rows[axis]]
    values = {axis: {label: v for v, label in known.items()} for axis, known in labels.items()}
    return SavedSummary(path, axes, within, rows, metrics, {}, values)


def _text_list(attribute: Any) -> list[str]:
    return [str(name) for name in np.atleast_1d(attribute).tolist()]


def _is_written(value: Any, text: str) -> bool:
    """Return whether `text` is a value of an axis."""
    if isinstance(value, str):
        return value == text
    try:
        return math.isclose(value, float(text), rel_tol=1e-9)
    except ValueError:
        return False
