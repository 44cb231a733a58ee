"""Shares of samples in the modes of the Gaussian mixture of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.standard_errors import error_of_share

__all__ = ["likeliest_mode", "modes", "total_variation"]


def likeliest_mode(x: Tensor, mixture: GaussianMixture) -> Tensor:
    """Return the component with the largest w_k N(x; μ_k, s_k² I) for each of `x` (N, D), (N,)."""
    # Components of width 0 get the nearest samples.
    variances = mixture.variances.clamp(min=1e-30)
    # Expanded squares would lose the digits of narrow modes far from the origin.
    squares = torch.cdist(
        x.double(), mixture.means.double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).square()
    log_weights = mixture.weights.log() - 0.5 * x.shape[1] * variances.log()
    return (log_weights - 0.5 * squares / variances).argmax(dim=1)


def total_variation(first: Tensor, second: Tensor) -> float:
    """Return the total variation distance ½ Σ|p − q| of two distributions (K,)."""
    return float(0.5 * (first.double() - second.double()).abs().sum())


def modes(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `mode_share` (K,), `mode_weight` (K,) of the mixture, and `mode_error`.

    It uses the samples themselves.

    Raises:
        ValueError: if the data are not from a mixture.
    """
    if options.mixture is None:
        raise ValueError("the data are not from a Gaussian mixture")
    weights = options.mixture.weights
    nearest = likeliest_mode(generated.values, options.mixture)
    shares = torch.bincount(nearest, minlength=len(weights)).double() / len(generated)
    return {
        "mode_share": MetricValue(
            shares,
            "share of samples in the mode",
            n_real=len(real),
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
            dimension="mode",
            error=error_of_share(shares, len(generated)),
        ),
        "mode_weight": MetricValue(
            weights,
            "weight of the mode in the mixture",
            n_real=len(real),
            per_extractor=False,
            dimension="mode",
            depends_on_data_only=True,
        ),
        "mode_error": MetricValue(
            total_variation(shares, weights),
            "error of the mode weights (total variation)",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
        ),
    }
