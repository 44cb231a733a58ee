"""Score error by density: in quantile bins of log q_σ.

A score is learned where there are data; its error is large where data are rare (Song and Ermon
2019, section 3.2.1). The points are sorted by density into bins of equal size, and in each bin

    log_density_of_bin            mean log q_σ
    score_error_of_bin            ½ E‖s − s*‖²
    score_error_relative_of_bin   E‖s − s*‖² / E‖s*‖²
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.score_error import MeanEstimate, mean_of, ratio_of, squared_errors
from scoresweep.score import Score, ScoreWithDensity

__all__ = ["DENSITY_BIN_NAMES", "error_by_density"]

DENSITY_BIN_NAMES = {
    "log_density_of_bin": "mean log density log q_σ of the bin",
    "score_error_of_bin": "half mean squared error of the score in the bin",
    "score_error_relative_of_bin": "squared error of the score relative to the exact score, in the "
    "bin",
}


def error_by_density(
    score: Score,
    oracle: ScoreWithDensity,
    x: Tensor,
    sigma: float,
    bins: int,
    batch_size: int = 256,
) -> dict[str, list[MeanEstimate]]:
    """Compare `score` with `oracle` in each density bin of the points `x` (N, ...).

    Args:
        score: the score to measure.
        oracle: the exact score.
        x: points, (N, ...).
        sigma: noise level, in units of the data.
        bins: number of bins.
        batch_size: number of points of a batch.

    Returns:
        For each of `DENSITY_BIN_NAMES` an estimate for each bin, the lowest density first.

    Raises:
        ValueError: if there are fewer than two points for each bin.
    """
    if len(x) < 2 * bins:
        raise ValueError(
            f"expected {2 * bins} points or more for {bins} density bins, found {len(x)}"
        )
    square, norm = squared_errors(score, oracle, x, sigma, batch_size)
    density = torch.cat(
        [oracle.log_density(p, p.new_full((len(p),), sigma)) for p in torch.split(x, batch_size)]
    )
    parts = density.argsort().tensor_split(bins)
    return {
        "log_density_of_bin": [mean_of(density[part]) for part in parts],
        "score_error_of_bin": [mean_of(0.5 * square[part]) for part in parts],
        "score_error_relative_of_bin": [ratio_of(square[part], norm[part]) for part in parts],
    }
