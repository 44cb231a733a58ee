"""Sliced Wasserstein distance (Bonneel et al. 2015), along random directions.

SW_p(P, Q)^p = E_θ W_p(θ·X, θ·Y)^p with θ uniform on the sphere. In one dimension W_p is that of the
quantile functions, W_p^p = ∫ |F⁻¹(u) − G⁻¹(u)|^p du, a sum if both are step functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.seeds import generator_for

__all__ = ["sliced_wasserstein", "sliced_wasserstein_distance", "wasserstein_powers"]

PROJECTIONS = 128
"""Number of random directions."""

MAX_SAMPLES = 10_000
"""Maximum number of real samples."""


def wasserstein_powers(x: Tensor, y: Tensor, p: int) -> Tensor:
    """Return W_p(x, y)^p of each column of `x` (N, K) and `y` (M, K), (K,)."""
    n, m = len(x), len(y)
    # Quantile functions are constant between multiples of 1/n and 1/m, here in units of 1/(nm).
    multiples = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n])
    ends = torch.unique(multiples)
    widths = torch.diff(ends, prepend=ends.new_zeros(1)).to(x.dtype) / (n * m)
    at_x, at_y = (ends - 1).div(m, rounding_mode="floor"), (ends - 1).div(n, rounding_mode="floor")
    gaps = x.sort(dim=0).values[at_x] - y.sort(dim=0).values[at_y]
    return widths @ gaps.abs().pow(p)


def sliced_wasserstein_distance(x: Tensor, y: Tensor, directions: Tensor, p: int = 2) -> float:
    """Return SW_p of `x` (N, D) and `y` (M, D), averaged over unit vectors `directions` (K, D)."""
    x, y, directions = x.double(), y.double(), directions.double()
    return float(wasserstein_powers(x @ directions.T, y @ directions.T, p).mean() ** (1 / p))


def sliced_wasserstein(
    real: Features, generated: Features, options: Options
) -> dict[str, MetricValue]:
    """Measure `sliced_wasserstein`, SW_2: the distance of projections on random directions.

    The directions are the same for equal seeds.
    """
    shape = PROJECTIONS, real.values.shape[1]
    draw = generator_for(options.seed, "directions")
    directions = torch.randn(shape, dtype=torch.float64, generator=draw)
    directions = directions / directions.norm(dim=1, keepdim=True)
    real = real.subsample(MAX_SAMPLES, options.seed)
    key = "projected", options.seed
    projected = real.cached(key, lambda: real.values.double() @ directions.T)
    powers = wasserstein_powers(projected, generated.values.double() @ directions.T, p=2)
    return {
        "sliced_wasserstein": MetricValue(
            float(powers.mean().sqrt()),
            "sliced Wasserstein distance",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            units="feature units",
        )
    }
