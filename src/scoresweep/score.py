"""The interface between networks, exact scores, objectives, samplers and metrics."""

from __future__ import annotations

from typing import Protocol, TypeGuard

from torch import Tensor

__all__ = ["Score", "ScoreWithDensity", "expand_sigma", "has_log_density"]


class Score(Protocol):
    """A function that returns the score ∇ₓ log q_σ(x): a network or an exact score."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, ...) for the noise levels `sigma` (N,), as `x`."""
        ...


class ScoreWithDensity(Score, Protocol):
    """A score with a known log density."""

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log q_σ(x) in nats, (N,), for `x` (N, ...) and `sigma` (N,)."""
        ...


def has_log_density(score: Score) -> TypeGuard[ScoreWithDensity]:
    """Return whether `score` has a known log density."""
    return hasattr(score, "log_density")


def expand_sigma(sigma: Tensor, x: Tensor) -> Tensor:
    """Reshape `sigma` from (N,) to (N, 1, ..., 1), which broadcasts over `x` of shape (N, ...)."""
    return sigma.reshape(-1, *[1] * (x.ndim - 1))
