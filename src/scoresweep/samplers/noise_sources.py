"""Sources of normal noise for samplers: functions that fill a tensor in place."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Noise", "independent_noise", "interpolated_noise"]

Noise = Callable[[Tensor], Tensor]
"""Fills a contiguous tensor (N, ...) with N(0, I) for each sample, and returns it."""


def independent_noise(generator: torch.Generator | None) -> Noise:
    """Return a source of noise that is independent from sample to sample."""
    return lambda out: out.normal_(generator=generator)


def interpolated_noise(steps: int, generator: torch.Generator | None) -> Noise:
    """Return a source of noise that is interpolated along each row of `steps` samples.

    Samples k = 0 … K−1 of each row of K = `steps` get z_k = cos(φ_k) p + sin(φ_k) q with
    φ_k = πk / (2(K−1)) and p, q ~ N(0, I) drawn for each row. Every z_k is N(0, I), and the samples
    change smoothly from that of p to that of q (Song and Ermon 2020, "Improved techniques for
    training score-based generative models", https://arxiv.org/abs/2006.09011, appendix on
    interpolation).

    Raises:
        ValueError: if `steps` is below 2. The source raises it if N is no multiple of `steps`.
    """
    if steps < 2:
        raise ValueError(f"steps must be 2 or more, found {steps}")
    angles = [0.5 * math.pi * k / (steps - 1) for k in range(steps)]

    def fill(out: Tensor) -> Tensor:
        if len(out) % steps:
            raise ValueError(f"expected a multiple of {steps} samples, found {len(out)}")
        shape = (2, len(out) // steps, *out.shape[1:])
        ends = torch.empty(shape, dtype=out.dtype, device=out.device).normal_(generator=generator)
        rows = out.view(-1, steps, *out.shape[1:])
        for k, angle in enumerate(angles):
            rows[:, k] = math.cos(angle) * ends[0] + math.sin(angle) * ends[1]
        return out

    return fill
