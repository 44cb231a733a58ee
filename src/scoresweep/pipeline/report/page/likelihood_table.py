"""The table of bits per dimension on the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from scoresweep.pipeline.report.format import (
    format_interval,
    format_number,
    format_value,
    humanize,
)
from scoresweep.pipeline.report.sections.captioned_figure import to_frame
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import RankedMetric, group_by_axes, summarise
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study.axis_names import is_repeat

__all__ = ["likelihood_table"]

NAME = "bits_per_dimension"
SPLITS = ("test", "train")


def likelihood_table(data: ReportData) -> dict[str, Any] | None:
    """Return the bits per dimension of each configuration, the best first; None if not measured."""
    dataset = data.tree["score_error"].to_dataset()
    if NAME not in dataset or not dataset[NAME].notnull().any():
        return None
    frame = to_frame(dataset[["run", NAME, f"{NAME}_low", f"{NAME}_high"]]).dropna(subset=[NAME])
    seeds = [axis for axis in data.run_axes if is_repeat(axis)]
    frame = label_repeats(frame, seeds, [], frame["run"].isin(data.exact_runs))
    axes = [axis for axis in data.axes if axis in frame and not is_repeat(axis)]
    metric = RankedMetric(NAME, "bits per dimension", "lower", dataset[NAME].attrs)
    summary = summarise(frame, metric, [*axes, "split"])
    rows = []
    for key, part in group_by_axes(summary, axes):
        by_split = {row["split"]: row for row in part.to_dict("records")}
        key = key if isinstance(key, tuple) else (key,)
        rows.append((by_split["test"]["mean"], [format_value(value) for value in key], by_split))
    return {
        "axes": [humanize(axis) for axis in axes],
        "rows": [
            {"axes": key, "cells": [_cell(by_split[split]) for split in SPLITS]}
            for _, key, by_split in sorted(rows, key=lambda row: row[0])
        ],
        "lead": _lead(dataset[NAME].attrs),
    }


def _cell(row: dict[Any, Any]) -> dict[str, str]:
    return {"mean": format_number(row["mean"]), "interval": format_interval(row)}


def _lead(about: dict[Any, Any]) -> str:
    """Say what the numbers are."""
    levels = [int(n) for n in np.atleast_1d(about.get("levels", []))]
    text = (
        "−log₂ p(x) / D of test and training samples under each network, by the probability-flow "
        "ODE from the smallest noise level to N(0, σ²) at the largest; lower is better. "
    )
    if not levels:
        return text + "The data are continuous: the values depend on their units."
    numbers = " or ".join(f"{n}" for n in levels)
    return text + f"Images of {numbers} levels are dequantised, and log₂ of that number is added."
