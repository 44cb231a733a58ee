"""Distributions whose score is known exactly at every noise level: the oracles.

An isotropic Gaussian mixture p = Σ_k w_k N(μ_k, s_k² I), smoothed by noise of standard deviation σ,
is the mixture q_σ = Σ_k w_k N(μ_k, v_k I) with v_k = s_k² + σ², so that

    ∇ₓ log q_σ(x) = Σ_k r_k(x) (μ_k − x) / v_k,   r_k(x) ∝ w_k N(x; μ_k, v_k I).

A training set smoothed by noise is the case of equal weights and s_k = 0; its score is what a
network trained by denoising score matching without limits would learn (Vincent 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["GaussianMixture", "SmoothedData"]

BLOCK = 2**19
"""Largest number of float64 values in one block of the matrix products: 4 MiB stay in a cache."""


class GaussianMixture:
    """Mixture of K isotropic Gaussians, with the exact score of its smoothed versions.

    Distances are expanded, ‖x−μ‖² = ‖x‖² − 2x·μ + ‖μ‖², so that the work is two matrix products,
    and the components are taken in blocks with a running logsumexp, so that the memory does not
    grow with K. At σ = 0.01 the expansion needs more digits than float32 has: it is done in
    float64, about the mean of μ.
    """

    def __init__(self, weights: Tensor, means: Tensor, stds: Tensor) -> None:
        """Make the mixture.

        Args:
            weights: (K,) or (1,) for equal ones; positive, scaled to the sum 1.
            means: (K, ...), kept in their own type.
            stds: (K,) or (1,) for equal ones; zero or more, in units of the data.
        """
        self.shape = tuple(means.shape[1:])
        self.means = means.flatten(1)
        weights = weights.double().expand(len(means))
        self.weights = weights / weights.sum()
        self.variances = stds.double() ** 2
        self.centre = self.means.mean(dim=0, dtype=torch.float64)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score ∇ₓ log q_σ(x), of the shape and type of `x`.

        Args:
            x: (N, ...), each sample shaped like a mean.
            sigma: (N,), zero or more (v_k must not be zero), in units of the data.
        """
        flat = x.flatten(1).double() - self.centre
        top = torch.full_like(flat[:, :1], -math.inf)
        total = inverse = torch.zeros_like(top)
        pull = torch.zeros_like(flat)
        for means, variance, logits in self._blocks(flat, sigma):
            new_top = torch.maximum(top, logits.amax(dim=1, keepdim=True))
            fade = torch.exp(top - new_top)
            weight = torch.exp(logits - new_top)
            total = total * fade + weight.sum(dim=1, keepdim=True)
            weight = weight / variance
            inverse = inverse * fade + weight.sum(dim=1, keepdim=True)
            pull = torch.addmm(pull * fade, weight, means)
            top = new_top
        return ((pull - inverse * flat) / total).to(x.dtype).reshape(x.shape)

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log q_σ(x) in nats, shape (N,), float64, for `x` (N, ...) and `sigma` (N,)."""
        flat = x.flatten(1).double() - self.centre
        blocks = [logits.logsumexp(dim=1) for _, _, logits in self._blocks(flat, sigma)]
        return torch.stack(blocks).logsumexp(dim=0)

    def sample(self, count: int, sigma: float, generator: torch.Generator) -> Tensor:
        """Draw `count` samples of q_σ, shape (count, ...), in the type of the means."""
        index = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        std = (self.variances.expand(len(self.means))[index] + sigma**2).sqrt().to(self.means.dtype)
        noise = torch.randn(count, self.means.shape[1], dtype=self.means.dtype, generator=generator)
        return (self.means[index] + std[:, None] * noise).reshape(count, *self.shape)

    def _blocks(self, x: Tensor, sigma: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give centred means (B, D), v (N, B or 1) and log w_k N(x; μ_k, v_k I) (N, B), block-wise.

        `x` is centred and flat, (N, D).
        """
        count, dimension = x.shape
        size = max(1, BLOCK // max(count, dimension))
        half_square = 0.5 * x.square().sum(dim=1, keepdim=True)
        smoothing = sigma.double()[:, None] ** 2
        for start in range(0, len(self.means), size):
            part = slice(start, start + size)
            means = self.means[part].double() - self.centre
            variance = smoothing + (
                self.variances if len(self.variances) == 1 else self.variances[part]
            )
            dot = torch.addmm(-0.5 * means.square().sum(dim=1), x, means.T)
            log_scale = self.weights[part].log() - 0.5 * dimension * torch.log(
                2 * math.pi * variance
            )
            yield means, variance, (dot - half_square) / variance + log_scale


class SmoothedData(GaussianMixture):
    """A data set smoothed by noise: q_σ = 1/M Σ_j N(y_j, σ² I), for σ > 0."""

    def __init__(self, points: Tensor) -> None:
        """Take the data `points`, shape (M, ...), images or points, kept in their own type."""
        super().__init__(torch.ones(1), points, torch.zeros(1))
