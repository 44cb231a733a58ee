"""Gaps between the best setting and the others, and whether they exceed noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scoresweep.pipeline.report.statistics.repeats import by_repeat, differences, student_half_width
from scoresweep.pipeline.report.statistics.summary import RankedMetric, summarise

__all__ = ["ranking_with_gaps"]


def ranking_with_gaps(
    part: pd.DataFrame, metric: RankedMetric, axes: Sequence[str], within: Sequence[str] = ()
) -> pd.DataFrame:
    """Return all configurations, the best first, with their gaps to the best.

    Each point of `within` has a best of its own. Columns in addition to those of `summarise`:

    * `gap`, how much worse than the best; `gap_low` and `gap_high`, its uncorrected 95 % interval;
      `gap_error` and `gap_freedom`, its standard error and degrees of freedom; `gap_level`,
      `pairs` and `sampling_pairs`, the source of that interval (`differences`).
    * `behind`, whether it is worse after correction for all comparisons. The best is chosen from K,
      so any two can be compared: each of the K(K − 1)/2 comparisons gets an equal share of the 5 %
      (Bonferroni; Dunn 1961, https://doi.org/10.1080/01621459.1961.10482090).
    * `ahead`, whether the best is better than all others, each comparison at 95 %. No correction is
      needed, since all of them must hold (Hung and Fithian 2019, https://arxiv.org/abs/1610.03944).
    """
    part, sign = part[part[metric.name].notna()], 1 if metric.better == "lower" else -1
    keys = [*within, *axes]
    summary = summarise(part, metric, keys).assign(place=lambda t: sign * t["mean"])
    values = sign * by_repeat(part, metric.name, keys)[1]  # in the order of the summary
    summary = summary.sort_values([*within, "place"], kind="stable")
    group = summary.groupby(list(within) if within else np.zeros(len(summary))).ngroup().to_numpy()
    first, size = np.unique(group, return_index=True, return_counts=True)[1:]
    best_of, size = first[group], size[group]
    values = values[summary.index]
    resampling = summary["resampling"].to_numpy()
    difference = differences(values, values[best_of], resampling, resampling[best_of])
    half_width = student_half_width(difference.error, difference.freedom)
    corrected_half_width = student_half_width(
        difference.error, difference.freedom, 0.05 / np.maximum(2, size * (size - 1))
    )
    is_best = best_of == np.arange(len(summary))
    is_significant = (difference.mean - half_width > 0) & ~is_best
    significant = np.add.reduceat(is_significant, first, dtype=int)[group]
    return (
        summary.drop(columns="place")
        .assign(
            gap=difference.mean,
            gap_low=difference.mean - half_width,
            gap_high=difference.mean + half_width,
            gap_level=difference.level,
            gap_error=difference.error,
            gap_freedom=difference.freedom,
            pairs=difference.networks,
            sampling_pairs=difference.samplings,
            behind=(difference.mean > corrected_half_width) & ~is_best,
            ahead=(size > 1) & (significant == size - 1),
        )
        .reset_index(drop=True)
    )
