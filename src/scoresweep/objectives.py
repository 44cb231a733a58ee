"""Objectives that train a score network: a loss for each sample, its noise level and its noise."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from scoresweep.score import Score, expand_sigma

__all__ = ["dsm"]

_POWER = {"sigma2": 2, "sigma": 1, "one": 0}


def dsm(
    score: Score,
    x: Tensor,
    sigma: Tensor,
    z: Tensor,
    *,
    weighting: Literal["sigma2", "sigma", "one"] = "sigma2",
) -> Tensor:
    """Return the denoising score matching losses ½ λ(σ) ‖s(x + σz, σ) + z/σ‖², shape (N,).

    Vincent (2011); Song and Ermon (2019), eq. 5. The squared norm is a sum over dimensions. It is
    computed as ½ λ(σ)/σ² ‖σs + z‖², whose norm is of the order of D at every level.

    Args:
        score: what is trained.
        x: clean samples, (N, ...).
        sigma: noise level of each sample, (N,).
        z: standard normal noise, as `x`.
        weighting: λ(σ): "sigma2" σ², "sigma" σ, "one" 1.
    """
    scale = expand_sigma(sigma, x)
    residual = scale * score(x + scale * z, sigma) + z
    loss = residual.flatten(1).square().sum(1) / 2
    return loss * sigma ** (_POWER[weighting] - 2)
