"""A metric in two reports, setting by setting, with a verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scoresweep.pipeline.report.statistics.repeats import by_repeat, differences, student_half_width
from scoresweep.pipeline.report.statistics.summary import RankedMetric, summarise

__all__ = ["SIDES", "side_by_side"]

SIDES = ("A", "B")


def side_by_side(
    frames: Sequence[pd.DataFrame],
    metric: RankedMetric,
    axes: list[str],
    incomparable: bool,
    has_winners: bool = True,
) -> pd.DataFrame:
    """Join a metric in both reports, setting by setting.

    Without `has_winners`, values that differ are apart, and neither side is better.
    """
    sides = []
    names = ("low", "high", "networks", "samplings")
    suffixes = {"mean": ""} | {name: f"_{name}" for name in names}
    for side, frame in zip(SIDES, frames, strict=True):
        summary = summarise(frame, metric, axes)
        indexed = summary.set_index(axes) if axes else summary
        columns = {name: f"{side}{suffix}" for name, suffix in suffixes.items()}
        sides.append(indexed[list(columns)].rename(columns=columns))
    table = sides[0].join(sides[1], how="outer").sort_index()
    differences_in_both = _differences_of(frames, metric, axes)
    table = table.join(differences_in_both.set_index(axes) if axes else differences_in_both)
    ratio = table["B"] / table["A"].where(table["A"] != 0)
    table["ratio"] = np.nan if incomparable else ratio
    if incomparable:
        table[["difference", "difference_low", "difference_high"]] = np.nan
    table["over"] = table["over"].fillna("")
    table["verdict"] = _verdicts(table, metric, incomparable, has_winners)
    return table.reset_index() if axes else table.reset_index(drop=True)


def _differences_of(
    frames: Sequence[pd.DataFrame], metric: RankedMetric, axes: list[str]
) -> pd.DataFrame:
    """Return B − A of the settings in both, with its interval and the source of that."""
    both = pd.concat(
        [frame.assign(_side=side) for side, frame in zip(SIDES, frames, strict=True)],
        ignore_index=True,
    )
    both = both[both[metric.name].notna()]
    summary = summarise(both, metric, [*axes, "_side"])
    values = by_repeat(both, metric.name, [*axes, "_side"])[1]
    b = np.flatnonzero(summary["_side"] == "B")
    follows = summary[axes].shift().eq(summary[axes]).all(axis=1) if axes else summary.index > 0
    b = b[np.asarray(follows)[b]]  # A of the same setting is in the row before
    a, resampling = b - 1, summary["resampling"].to_numpy()
    difference = differences(values[b], values[a], resampling[b], resampling[a])
    half_width = student_half_width(difference.error, difference.freedom, 0.025 / max(1, len(b)))
    settings: pd.DataFrame = summary.loc[b, axes]
    return settings.assign(
        difference=difference.mean,
        difference_low=difference.mean - half_width,
        difference_high=difference.mean + half_width,
        over=difference.level,
    )


def _verdicts(
    table: pd.DataFrame, metric: RankedMetric, incomparable: bool, has_winners: bool
) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Return the better side of each row if the interval of the difference excludes 0."""
    b_wins = (table["difference"] < 0) == (metric.better == "lower")
    verdicts = {
        "only in B": table["A"].isna(),
        "only in A": table["B"].isna(),
        "not comparable": pd.Series(incomparable, table.index),
        "no interval": table["difference_low"].isna(),
        "not apart": (table["difference_low"] <= 0) & (table["difference_high"] >= 0),
        "apart": pd.Series(not has_winners, table.index),
        "B better": b_wins,
    }
    return np.select(list(verdicts.values()), list(verdicts), "A better")
