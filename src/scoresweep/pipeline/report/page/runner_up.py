"""How far the best setting is ahead of the second best, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scoresweep.pipeline.report.format import format_axes, format_number
from scoresweep.pipeline.report.statistics.summary import RankedMetric

__all__ = ["Verdict", "runner_up"]

Verdict = tuple[str, str]
"""CSS class ("sure", "unsure" or "open") and text."""


def runner_up(
    ranking: pd.DataFrame,
    runs: int,
    metric: RankedMetric,
    axes: Sequence[str],
    is_exact: bool,
) -> tuple[Verdict | None, str]:
    """Return a verdict on the lead of the best setting, and a text about the second best.

    `ranking` has the summary of all configurations, the best first. They are of `runs` networks.
    Without a second best, the verdict is None.
    """
    if len(ranking) < 2 or ranking["mean"].nunique() == 1:
        return None, ""
    first, second, others = ranking.iloc[0], ranking.iloc[1], ranking.iloc[1:]
    text = _distance(ranking, metric, axes)
    if not np.isfinite(second["gap_low"]):
        more = (
            "draw both settings with the same two or more sampling seeds"
            if is_exact
            else "train both settings with the same two or more training seeds"
        )
        return ("open", "lead not tested"), text + (
            f" Whether the difference is noise is not known. To test it, {more}, or compute "
            f"intervals by resampling."
        )
    is_tie = second["mean"] == first["mean"]
    if not is_tie:
        text += f" {_interval(second, 'the exact score' if is_exact else 'one network')}"
    scope, scope_note = ("", "") if is_exact else _scope(others, runs == 1)
    if second["ahead"]:
        verdict = f"ahead {scope or 'by more than noise'}"
        return ("sure", verdict), f"{text} It excludes 0: more than noise.{scope_note}"
    untested = int(others["gap_low"].isna().sum())
    if second["gap_low"] > 0 and untested and not (others["gap_low"] <= 0).any():
        text += (
            f" It excludes 0. {untested:,} of {len(others):,} other settings could not be tested."
        )
        return ("open", "not tested against all"), text
    is_close = second["gap_low"] <= 0
    if is_close and not is_tie:
        text += " It includes 0: the difference may be noise."
    if len(others) > 1:
        close = len(others) - untested - int(others["behind"].sum())
        text += (
            f" {close:,} of {len(others):,} other settings do not differ significantly from the "
            f"best, after correction for all comparisons."
        )
    return ("unsure", "too close to call" if is_close else "not ahead of all"), text + scope_note


def _distance(ranking: pd.DataFrame, metric: RankedMetric, axes: Sequence[str]) -> str:
    """Name the second best setting and its distance from the best."""
    first, second = ranking.iloc[0], ranking.iloc[1]
    where = format_axes({axis: second[axis] for axis in axes if ranking[axis].nunique() > 1})
    # On the networks that both have, the second can be the better one.
    word = "higher" if (metric.better == "lower") == (second["gap"] >= 0) else "lower"
    gap = f"{format_number(abs(second['gap']))} {word}"
    gap = "the same" if second["mean"] == first["mean"] else gap
    return f"{format_number(second['mean'])}, {gap}: {where}."


def _interval(second: pd.Series[Any], sampled: str) -> str:
    """Write the interval of the difference and its source; `sampled` is what has many samplings."""
    span = f"{format_number(second['gap_low'])} to {format_number(second['gap_high'])}"
    sources = {
        "networks": f"over {second['pairs']:.0f} networks",
        "samplings": f"over {second['sampling_pairs']:.0f} samplings of {sampled}",
        "samples": "from resampling the samples",
    }
    text = f"95 % interval of the difference, {sources[second['gap_level']]}: {span}."
    has_two_networks = second["gap_level"] == "networks" and second["pairs"] == 2
    return text + (" More than two networks would narrow it." if has_two_networks else "")


def _scope(others: pd.DataFrame, is_one: bool) -> tuple[str, str]:
    """Return the networks that comparisons are limited to; "" if they hold for any network."""
    if others["gap_level"].isin(["networks", ""]).all():
        return "", ""
    which = "this network" if is_one else "these networks"
    return f"on {which} only", (
        f" This comparison holds for {which} only; other training seeds may rank the settings "
        f"differently. Use two or more training seeds to find out."
    )
