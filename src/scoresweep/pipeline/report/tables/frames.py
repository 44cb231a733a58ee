"""The measurements of a report as data frames."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import xarray as xr

from scoresweep.metric_names import COMPANIONS
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.tables.compute_cost import COST_FIELDS, EVALUATE_PREFIX
from scoresweep.pipeline.report.tables.halving_coordinates import (
    DROPPED_AT,
    IN_DOUBT,
    SETTING_AT_COUNT,
)
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study.axis_names import is_repeat

__all__ = ["long_table", "metric_names", "planned_table", "wide_table"]

INNER = ("split", "level", "sigma", "density_bin", "class", "mode")
"""Dimensions of a measurement beyond the swept axes."""

FIGURE_DIMS = frozenset({"density_point", "field_point"})
"""Dimensions of variables stored for figures, which are not measurements."""


def metric_names(dataset: xr.Dataset) -> list[str]:
    """Return the variables of a group that are measurements, without their companions."""
    names = [str(name) for name, v in dataset.data_vars.items() if v.dtype.kind == "f"]
    return [
        name
        for name in names
        if name
        not in (
            "sigma",
            "n_generated",
            *COST_FIELDS,
            *(EVALUATE_PREFIX + field for field in COST_FIELDS),
        )
        and not _is_companion(name, names)
        and FIGURE_DIMS.isdisjoint(dataset[name].dims)
    ]


def wide_table(data: ReportData) -> pd.DataFrame:
    """Return one row for each measured setting: `run`, `setting`, its axes and every metric.

    Metrics are the variables of the group `sampling` that are one number for a setting; companions
    are columns `<metric>_low` and so on. Two more columns label repeats (`label_repeats`).
    """
    sampling = data.tree["sampling"].to_dataset()
    points = set(sampling["state"].dims) | set(data.evaluation_axes)
    scalar = [name for name, variable in sampling.data_vars.items() if set(variable.dims) <= points]
    frame = _flat(sampling[scalar].drop_dims(set(sampling[scalar].dims) - points))
    done = frame[frame["state"] == "done"].reset_index(drop=True)
    networks, samplings = (
        [axis for axis in axes if is_repeat(axis)] for axes in (data.run_axes, data.setting_axes)
    )
    return label_repeats(done, networks, samplings, done["run"].isin(data.exact_runs))


def planned_table(data: ReportData) -> pd.DataFrame:
    """Return one row for each setting of the study, with its axes, `run` and `state`."""
    frame = _flat(data.tree["sampling"].to_dataset()[["state", "run"]])
    return frame[frame["state"] != ""].reset_index(drop=True)


def long_table(data: ReportData) -> pd.DataFrame:
    """Return every measured number as a row: run, setting, axes, metric, value, low, high, n.

    `networks` and `samplings` count those with a value in the configuration (all axes except seeds)
    of the row; `low` and `high` belong to the row alone.
    """
    groups = [data.tree[group].to_dataset() for group in ("score_error", "sampling")]
    parts = [_long(group, name) for group in groups for name in metric_names(group)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    inner = [name for name in INNER if name in table]
    halving = [name for name in (SETTING_AT_COUNT, DROPPED_AT, IN_DOUBT) if name in table]
    columns = ["run", "setting", *data.axes, *halving, *inner, "metric", "value", *COMPANIONS]
    table = table.reindex(columns=[*columns, "networks", "samplings", "n_generated", "extractor"])
    if DROPPED_AT in table:
        table[DROPPED_AT] = table[DROPPED_AT].mask(table[DROPPED_AT] == 0).astype("Int64")
    configuration = [axis for axis in [*data.axes, *inner] if not is_repeat(axis)]
    # Score errors are of networks: they have no setting, and no samplings.
    sampling = table["run"].astype(str) + " " + table["setting"].astype(str)
    table["samplings"] = sampling.where(table["setting"].notna())
    # The exact score counts as one network, whatever its training seeds.
    table["networks"] = table["run"].mask(table["run"].isin(data.exact_runs), "exact")
    points = table.groupby([*configuration, "metric"], dropna=False)
    table["networks"] = points["networks"].transform("nunique")
    table["samplings"] = points["samplings"].transform("nunique")
    return table


def _long(dataset: xr.Dataset, metric: str) -> pd.DataFrame:
    """Stack one metric, with its companions and what identifies it as columns."""
    columns = {"value": dataset[metric]}
    columns |= {c: dataset[f"{metric}_{c}"] for c in COMPANIONS if f"{metric}_{c}" in dataset}
    columns |= {
        name: dataset[name]
        for name in ("run", "setting", "n_generated", "sigma")
        if name in dataset and set(dataset[name].dims) <= set(dataset[metric].dims)
    }
    frame = _flat(xr.Dataset(columns))
    frame = frame[frame["value"].notna()]
    # As floats, whole numbers would be printed as 20.0, since other metrics lack these columns.
    whole = [c for c in frame if c == "n_generated" or frame[c].dtype.kind in "iu"]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    return frame.assign(metric=metric, extractor=dataset[metric].attrs.get("extractor", ""))


def _flat(dataset: xr.Dataset) -> pd.DataFrame:
    """Return a row for each point of a dataset, also if it has no dimensions."""
    along = dataset if dataset.dims else dataset.expand_dims("point")
    frame = along.to_dataframe().reset_index()
    return frame.drop(columns="point") if "point" in frame else frame


def _is_companion(name: str, names: Iterable[str]) -> bool:
    stem, _, last = name.rpartition("_")
    return last in COMPANIONS and stem in names
