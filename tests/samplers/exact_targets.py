"""Targets with known moments, and assertions about samples of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.score import expand_sigma

__all__ = [
    "MEAN",
    "SPREAD",
    "WEIGHTS",
    "Gaussian",
    "assert_normal",
    "four_modes",
    "generator",
    "normal",
]

MEAN, SPREAD = 0.7, 0.6


class Gaussian:
    """The exact score of N(mean, spread² I), smoothed."""

    def __init__(self, mean: float = MEAN, spread: float = SPREAD) -> None:
        self.mean, self.spread = mean, spread

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (self.mean - x) / (self.spread**2 + expand_sigma(sigma, x) ** 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(mean: float, std: float, *size: int, seed: int = 1) -> Tensor:
    """Draw float64 numbers from N(mean, std²)."""
    return mean + std * torch.randn(size, dtype=torch.float64, generator=generator(seed))


def assert_normal(x: Tensor, mean: float, variance: float) -> None:
    """Assert mean and variance of independent normal numbers within four standard errors."""
    n = x.numel()
    assert abs(float(x.mean()) - mean) < 4 * math.sqrt(variance / n), float(x.mean())
    assert abs(float(x.var()) / variance - 1) < 4 * math.sqrt(2 / n), float(x.var()) / variance


WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)


class FourModes:
    """Gaussians with weights 0.1, 0.2, 0.3 and 0.4 in the four quadrants."""

    def __init__(self, distance: float, std: float) -> None:
        signs = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
        self.means = distance * torch.tensor(signs, dtype=torch.float64)
        self.std = std
        stds = torch.full((4,), std, dtype=torch.float64)
        self.score = GaussianMixture(WEIGHTS, self.means, stds)

    def shares(self, x: Tensor) -> Tensor:
        """Return the share of `x` (N, 2) in each quadrant."""
        quadrant = 2 * (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
        return torch.bincount(quadrant, minlength=4).double() / len(x)

    def exact_shares(self, sigma: float) -> Tensor:
        """Return the share of q_σ in each quadrant."""
        beyond = 0.5 * (1 + torch.erf(self.means / math.sqrt(2 * (self.std**2 + sigma**2))))
        right, upper = beyond.T
        sides = [(1 - right, 1 - upper), (1 - right, upper), (right, 1 - upper), (right, upper)]
        return torch.stack([(WEIGHTS * a * b).sum() for a, b in sides])

    def assert_reached(self, x: Tensor, sigma: float) -> None:
        """Assert that samples (N, 2) are from q_σ.

        Shares, mean and covariance must agree within four standard errors, and the variance within
        modes to 5%.
        """
        shares, mean = self.exact_shares(sigma), WEIGHTS @ self.means
        errors = (self.shares(x) - shares) / (shares * (1 - shares) / len(x)).sqrt()
        assert errors.abs().max() < 4, errors
        inner = self.std**2 + sigma**2
        centred = self.means - mean
        covariance = centred.T @ (WEIGHTS[:, None] * centred) + inner * torch.eye(2)
        errors = (x.mean(0) - mean) / (covariance.diagonal() / len(x)).sqrt()
        assert errors.abs().max() < 4, errors
        products = ((x - mean)[:, :, None] * (x - mean)[:, None, :]).flatten(1)
        errors = (products.mean(0) - covariance.flatten()) / (products.std(0) / len(x) ** 0.5)
        assert errors.abs().max() < 4, errors
        if self.exact_shares(sigma).sub(WEIGHTS).abs().max() < 1e-4:  # each quadrant has one mode
            own = (x - self.means[(x > 0).long() @ torch.tensor([2, 1])]).square().mean()
            assert abs(float(own) / inner - 1) < 0.05, float(own) / inner


def four_modes(distance: float = 2.0, std: float = 0.4) -> FourModes:
    return FourModes(distance, std)
