"""Expectations without sampling error: Gauss–Hermite quadrature on a mixture in one dimension."""

from __future__ import annotations

import math

import numpy as np
import torch

from scoresweep.distributions import GaussianMixture

__all__ = ["ORACLE", "WEIGHTS", "quadrature", "wrong_score"]

WEIGHTS = {
    "sigma2": lambda s: s**2,
    "sigma": lambda s: s,
    "one": lambda s: s**0,
    "edm": lambda s: s**2 * (1 + 4 * s**2),
}
"""λ(σ) by its name."""

MODES = {"weights": (0.1, 0.9), "means": (-1.5, 1.5), "stds": (1.0, 0.8)}

ORACLE = GaussianMixture(
    torch.tensor(MODES["weights"], dtype=torch.float64),
    torch.tensor(MODES["means"], dtype=torch.float64)[:, None],
    torch.tensor(MODES["stds"], dtype=torch.float64),
)


def wrong_score(x, sigma):
    """A smooth score that is not the mixture's, with a Jacobian that is not symmetric."""
    return torch.sin(x) - 0.7 * x + 0.2 * x.roll(1, -1)


def quadrature(weights=MODES["weights"], means=MODES["means"], stds=MODES["stds"]):
    """Return x and z, float64 (N, 1), and weights (N,): E f(x, z) = Σ weight f(x, z)."""
    nodes, share = np.polynomial.hermite_e.hermegauss(90)
    share = torch.from_numpy(share / math.sqrt(2 * math.pi))
    u, z = torch.meshgrid(*[torch.from_numpy(nodes)] * 2, indexing="ij")
    both = torch.outer(share, share).flatten()
    x = torch.cat([mean + std * u.flatten() for mean, std in zip(means, stds, strict=True)])
    weight = torch.cat([w * both for w in weights])
    return x[:, None], z.flatten().repeat(len(weights))[:, None], weight
