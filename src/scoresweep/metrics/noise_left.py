"""How much of the noise a score leaves when it denoises, against the simplest denoiser.

Of noisy samples x + σz the score s estimates the noise as −σs. What it leaves,

    E‖z + σs(x + σz, σ)‖² / D,

is a share of the noise's variance: 1 for a score of zero, 0 for a perfect one, and twice the
denoising loss with the weight σ², per dimension (Vincent 2011, doi:10.1162/NECO_a_00142). The score
of the normal distribution N(m, v·1) with the data's mean m and its variance v per dimension is
−(x − m)/(v + σ²); it leaves v/(v + σ²). A network that leaves more has learnt another function.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.score import Score, expand_sigma

__all__ = ["noise_left", "normal_score"]


def noise_left(
    score: Score, clean: Tensor, sigma: float, noise: Tensor, batch_size: int = 32
) -> Tensor:
    """Return the share of the noise's variance that `score` leaves in each sample, (N,) float64.

    Args:
        score: the score to judge.
        clean: samples without noise, (N, ...).
        sigma: noise level, in units of the data.
        noise: standard normal noise, as `clean`.
        batch_size: samples taken together.
    """
    rows = []
    for x, z in zip(torch.split(clean, batch_size), torch.split(noise, batch_size), strict=True):
        left = z + sigma * score(x + sigma * z, x.new_full((len(x),), sigma))
        rows.append(left.flatten(1).double().square().mean(dim=1))
    return torch.cat(rows)


def normal_score(data: Tensor) -> Score:
    """Return the score of a normal distribution with the mean and the variance of `data` (N, ...).

    Its covariance is a multiple of the unit matrix: the variance is that per dimension.
    """
    mean = data.mean(dim=0)
    variance = float((data - mean).square().mean())
    return lambda x, sigma: (mean - x) / (variance + expand_sigma(sigma, x).square())
