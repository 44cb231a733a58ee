"""Where samples are between real samples and uniform noise."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.report_data import Finding

__all__ = ["near_noise", "share_of_noise"]

SQUARED = ("fid", "frechet", "kid", "mmd")
"""Metrics that are the square of a distance."""

DISTANCES = ("energy_distance", "sliced_wasserstein")

LIMIT = 0.5
"""Share of noise up to which samples are nearer to real samples, whatever they look like."""


def share_of_noise(metric: str, value: float, real: float, noise: float) -> float:
    """Return the distance of samples from real ones in units of that of uniform noise.

    With d the distance and `real` the value of real samples, which is not 0 for few samples, it is
    d = √(value − real) if the metric is a squared distance. A mixture of real samples with a share
    w of noise has d = w for MMD, and so has a point w of the way from real samples to noise for the
    Wasserstein distance. Below 1/2 samples are nearer to real samples than to noise, by the
    triangle inequality. NaN for other metrics, and without one of the values.
    """
    key = metric if metric in SQUARED else metric.rpartition("_")[0]
    while key and key not in (*SQUARED, *DISTANCES):
        key = key.rpartition("_")[0]
    if not key or not noise > real or math.isnan(value):
        return math.nan
    share = max(0.0, (value - real) / (noise - real))
    return math.sqrt(share) if key in SQUARED else share


def near_noise(
    top: pd.Series[Any], rows: pd.DataFrame, metric: RankedMetric, *, is_exact: bool, at_edge: bool
) -> Finding | None:
    """Warn if the best value is nearer to that of noise than to that of real samples.

    Args:
        top: the best configuration, a row of a summary.
        rows: the measured rows of that configuration.
        metric: the metric that it is the best by.
        is_exact: whether its score is exact.
        at_edge: whether it is at the edge of the grid of an option of the sampler.
    """
    sign = 1 if metric.better == "lower" else -1
    value, real, noise = (float(top[key]) for key in ("mean", "real", "noise"))
    if sign * noise <= sign * value:
        text = (
            f"Uniform noise scores {format_number(noise)}, which is as good or better. Either the "
            f"samples are bad or this metric cannot tell them from noise: check the samples and "
            f"the other metrics."
        )
        return Finding("near_noise", text, {"value": value, "noise": noise})
    share = share_of_noise(metric.name, value, real, noise)
    if not share > LIMIT:
        return None
    text = (
        f"Nearer to noise than to real samples: the value is {format_number(value)}, that of real "
        f"samples {format_number(real)} and that of uniform noise {format_number(noise)}. By "
        f"distance, these samples are {100 * share:.0f} % of the way from real samples to noise. "
    )
    numbers = {"value": value, "real": real, "noise": noise, "share_of_noise": share}
    return Finding("near_noise", text + _advice(rows, metric, is_exact, at_edge), numbers)


def _advice(rows: pd.DataFrame, metric: RankedMetric, is_exact: bool, at_edge: bool) -> str:
    costs = [f"{metric.name}_{part}_cost" for part in ("sampler", "network")]
    known = set(costs) <= set(rows)
    sampler, network = (rows[cost].mean() if known else math.nan for cost in costs)
    if is_exact or sampler > network:
        return "The sampler causes most of it: try other step sizes, or more levels or steps."
    if at_edge and not network >= sampler:
        return (
            "First extend the grid of the sampler's options; if that does not help, train longer "
            "or with a larger network."
        )
    return "Train longer or with a larger network."
