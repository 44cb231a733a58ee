"""How many seeds a claim about the best setting needs."""

from __future__ import annotations

import math

import pandas as pd
from scipy import special

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.tables.report_data import Finding

__all__ = ["few_seeds", "needed_repeats"]

POWER = 0.8
"""Probability with which the needed number of seeds shows a difference."""

MOST = 100
"""Largest number of seeds that is computed."""


def needed_repeats(gap: float, deviation: float) -> int | None:
    """Return the least number of pairs that show a difference of `gap` in 80 % of cases.

    `deviation` is the standard deviation of the differences of pairs. A difference is shown if its
    Student's 95 % interval is above 0; its t is then distributed by the noncentral t distribution
    with the noncentrality √n · gap / deviation. None above 100, or for a gap of 0 or less.
    """
    if not gap > 0 or not deviation > 0:
        return None
    for count in range(2, MOST + 1):
        shift = math.sqrt(count) * gap / deviation
        limit = special.stdtrit(count - 1, 0.975)
        if shift > 30 or 1 - special.nctdtr(count - 1, shift, limit) >= POWER:
            # Beyond 30 the function loses its digits; two pairs show such a gap in 80 % of cases.
            return count
    return None


def few_seeds(ranking: pd.DataFrame, *, is_exact: bool) -> Finding | None:
    """Warn if there are too few seeds to say that the best is better than the second best.

    `ranking` has the summary of all configurations, the best first. The exact score is repeated by
    samplings, a network by training seeds.
    """
    if len(ranking) < 2 or ranking["mean"].nunique() == 1:
        return None
    first, second = ranking.iloc[0], ranking.iloc[1]
    level, column = ("samplings", "sampling_pairs") if is_exact else ("networks", "pairs")
    seeds = "sampling seeds" if is_exact else "training seeds"
    if first[level] < 2 or second[level] < 2:
        text = (
            f"Too few {seeds} for a claim: one value cannot say how much a setting varies. Use two "
            f"or more; Student's intervals of means over 2, 3 and 5 seeds are ± 9.0, 2.5 and 1.2 "
            f"standard deviations."
        )
        return Finding("few_seeds", text, {"seeds": 1})
    pairs = int(second[column])
    if second["gap_level"] != level or second["gap_freedom"] != pairs - 1 or second["gap_low"] > 0:
        return None
    gap, deviation = float(second["gap"]), float(second["gap_error"]) * math.sqrt(pairs)
    numbers: dict[str, float] = {"seeds": pairs, "gap": gap, "deviation": deviation}
    text = (
        f"Too few {seeds} to say that the best is better than the second best: their difference is "
        f"{format_number(gap)} and varies by {format_number(deviation)} (standard deviation of "
        f"{pairs} pairs). "
    )
    if needed := needed_repeats(gap, deviation):
        numbers["needed"] = needed
        text += f"If both stay as they are, {needed} seeds show it in 80 % of cases."
    else:
        text += (
            f"Even {MOST} seeds would show it in fewer than 80 % of cases: take the cheaper one."
        )
    return Finding("few_seeds", text, numbers)
