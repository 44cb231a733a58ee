"""Continuous laws of the noise level σ in training, instead of the levels of the ladder."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["log_normal", "log_uniform", "nearest_level"]


def log_uniform(count: int, sigmas: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return σ (count,) with log σ uniform between the ends of the ladder `sigmas` (L,).

    It is the law of Song et al. (2021, https://arxiv.org/abs/2011.13456), equation 31, for uniform
    times.
    """
    u = torch.rand(count, generator=generator, device=sigmas.device)
    first, last = sigmas[0].log(), sigmas[-1].log()
    return (last + u * (first - last)).exp()


def log_normal(
    count: int, sigmas: Tensor, *, generator: torch.Generator, mean: float, std: float
) -> Tensor:
    """Return σ (count,) with log σ from N(`mean`, `std`²), on the device of the ladder `sigmas`.

    It is the law of Karras et al. (2022, https://arxiv.org/abs/2206.00364), table 1.
    """
    z = torch.randn(count, generator=generator, device=sigmas.device)
    return (mean + std * z).exp()


def nearest_level(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """Return the index of the level of `sigmas` (L,) nearest to each `sigma` (N,) in the log."""
    return (sigma[:, None].log() - sigmas.log()).abs().argmin(dim=1)
