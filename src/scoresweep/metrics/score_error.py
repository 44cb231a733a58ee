"""Errors of a score s relative to the exact score s*, at one noise level.

At noisy points x = y + σz of clean points y:

    score_error           ½ E‖s − s*‖²
    score_error_sigma2    ½ σ² E‖s − s*‖²
    score_error_relative  E‖s − s*‖² / E‖s*‖²
    score_cosine          E cos(s, s*)
    dsm_loss              ½ E‖σs + z‖²   (denoising score matching, Vincent 2011, weighted by σ²)

If y is drawn from the distribution of the exact score, E‖σs + z‖² − (D − σ²E‖s*‖²) = σ²E‖s − s*‖².
For held-out y, s* can be the score of the smoothed training set, which has no mass near them at
small σ. There the error shows how far the network is from memorising, and the loss shows how well
it fits new points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresweep.intervals import NORMAL_95
from scoresweep.score import Score

__all__ = [
    "SCORE_ERROR_NAMES",
    "MeanEstimate",
    "compare_scores",
    "mean_of",
    "ratio_of",
    "score_error",
    "squared_errors",
]

SCORE_ERROR_NAMES = {
    "score_error": "half mean squared error of the score",
    "score_error_sigma2": "half mean squared error of the score, times σ²",
    "score_error_relative": "squared error of the score relative to the exact score",
    "score_cosine": "mean cosine between the score and the exact score",
    "dsm_loss": "denoising score matching loss, weighted by σ²",
}


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over points and its standard error (normal approximation)."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the 95% interval."""
        return self.value - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95% interval."""
        return self.value + NORMAL_95 * self.error


def score_error(
    score: Score,
    oracle: Score,
    clean: Tensor,
    sigma: float,
    generator: torch.Generator,
    batch_size: int = 256,
) -> dict[str, MeanEstimate]:
    """Compare `score` with `oracle` at the level `sigma` at noisy versions of `clean`.

    Args:
        score: the score to measure.
        oracle: the exact score s*.
        clean: clean points y (N, ...), each used once.
        sigma: noise level, in units of the data.
        generator: source of the noise, on the CPU.
        batch_size: number of points of a batch.

    Returns:
        An estimate for each of `SCORE_ERROR_NAMES`.
    """
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    rows = [
        _per_point(score, oracle, y + sigma * z, sigma, z)
        for y, z in zip(torch.split(clean, batch_size), torch.split(noise, batch_size), strict=True)
    ]
    square, norm, cosine, loss = torch.cat(rows).unbind(dim=1)
    return _errors(square, norm, cosine, sigma) | {"dsm_loss": mean_of(loss)}


def compare_scores(
    score: Score, oracle: Score, x: Tensor, sigma: float, batch_size: int = 256
) -> dict[str, MeanEstimate]:
    """Compare `score` with `oracle` at the points `x` (N, ...), such as states of a sampler.

    Returns:
        An estimate for each of `SCORE_ERROR_NAMES` except the loss.
    """
    square, norm, cosine = _at_points(score, oracle, x, sigma, batch_size)
    return _errors(square, norm, cosine, sigma)


def squared_errors(
    score: Score, oracle: Score, x: Tensor, sigma: float, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """Return ‖s − s*‖² and ‖s*‖² at each of the points `x` (N, ...): (N,) each, float64."""
    square, norm, _ = _at_points(score, oracle, x, sigma, batch_size)
    return square, norm


def _at_points(
    score: Score, oracle: Score, x: Tensor, sigma: float, batch_size: int
) -> tuple[Tensor, ...]:
    """Return ‖s − s*‖², ‖s*‖² and cos(s, s*) at each of the points `x`, (N,) each."""
    rows = [_per_point(score, oracle, part, sigma) for part in torch.split(x, batch_size)]
    return torch.cat(rows).unbind(dim=1)


def _per_point(
    score: Score, oracle: Score, x: Tensor, sigma: float, noise: Tensor | None = None
) -> Tensor:
    """Return ‖s−s*‖², ‖s*‖², cos(s, s*) and, with noise, ½‖σs+z‖²: (N, 3 or 4), float64."""
    sigmas = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
    value = score(x, sigmas).flatten(1).double()
    exact = oracle(x, sigmas).flatten(1).double()
    columns = [
        (value - exact).square().sum(dim=1),
        exact.square().sum(dim=1),
        torch.cosine_similarity(value, exact, dim=1),
    ]
    if noise is not None:
        columns.append(0.5 * (sigma * value + noise.flatten(1)).square().sum(dim=1))
    return torch.stack(columns, dim=1)


def _errors(square: Tensor, norm: Tensor, cosine: Tensor, sigma: float) -> dict[str, MeanEstimate]:
    error = mean_of(0.5 * square)
    return {
        "score_error": error,
        "score_error_sigma2": MeanEstimate(sigma**2 * error.value, sigma**2 * error.error),
        "score_error_relative": ratio_of(square, norm),
        "score_cosine": mean_of(cosine),
    }


def mean_of(values: Tensor) -> MeanEstimate:
    """Return the mean of `values` (N,) of independent points, with its standard error."""
    return MeanEstimate(float(values.mean()), _error_of_mean(values))


def ratio_of(numerator: Tensor, denominator: Tensor) -> MeanEstimate:
    """Return the ratio of the means of (N,) and (N,), with its error to first order."""
    ratio = numerator.mean() / denominator.mean()
    residual = (numerator - ratio * denominator) / denominator.mean()
    return MeanEstimate(float(ratio), _error_of_mean(residual))


def _error_of_mean(values: Tensor) -> float:
    """Return the standard error of the mean of `values` (N,); NaN for a single value."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else math.nan
