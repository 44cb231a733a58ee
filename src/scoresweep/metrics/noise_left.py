"""Share of the noise that remains after denoising with a score.

In noisy samples x + σz, the score s estimates the noise z as −σs. The remaining share of its
variance,

    E‖z + σs(x + σz, σ)‖² / D,

is 1 for a score of zero and 0 for perfect denoising. It is twice the denoising loss with weight σ²
per dimension (Vincent 2011, https://doi.org/10.1162/NECO_a_00142). For comparison, the score of
N(m, v I), with the mean m and the variance v per dimension of the data, is −(x − m)/(v + σ²) and
leaves v/(v + σ²). If a network leaves more, it does not fit the data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.score import Score, expand_sigma

__all__ = ["noise_left", "normal_score"]


def noise_left(
    score: Score, clean: Tensor, sigma: float, noise: Tensor, batch_size: int = 32
) -> Tensor:
    """Return the share of the noise variance that `score` leaves in each sample, (N,), float64.

    Args:
        score: the score to measure.
        clean: samples without noise, (N, ...).
        sigma: noise level, in units of the data.
        noise: standard normal noise, as `clean`.
        batch_size: number of samples of a batch.
    """
    rows = []
    for x, z in zip(torch.split(clean, batch_size), torch.split(noise, batch_size), strict=True):
        left = z + sigma * score(x + sigma * z, x.new_full((len(x),), sigma))
        rows.append(left.flatten(1).double().square().mean(dim=1))
    return torch.cat(rows)


def normal_score(data: Tensor) -> Score:
    """Return the score of N(m, v I) with mean m and variance v per dimension of `data` (N, ...)."""
    mean = data.mean(dim=0)
    variance = float((data - mean).square().mean())
    return lambda x, sigma: (mean - x) / (variance + expand_sigma(sigma, x).square())
