"""Where samplers get their normal noise from: one function that fills a tensor in place."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Noise", "independent_noise", "interpolated_noise"]

Noise = Callable[[Tensor], Tensor]
"""Fills a contiguous tensor (N, ...), each sample with N(0, I), and returns it."""


def independent_noise(generator: torch.Generator | None) -> Noise:
    """Return the source of noise that is independent from sample to sample."""
    return lambda out: out.normal_(generator=generator)


def interpolated_noise(steps: int, generator: torch.Generator | None) -> Noise:
    """Return a source of noise that turns from one noise into another along `steps` samples.

    Samples k = 0 … K−1 of each row of K = `steps` get z_k = cos(φ_k) p + sin(φ_k) q with
    φ_k = πk / (2(K−1)) and p, q ~ N(0, I) drawn anew for the row: each z_k is N(0, I), and the
    walks that are driven by them turn smoothly from that of p into that of q (Song and Ermon 2020,
    "Improved techniques for training score-based generative models", appendix on interpolation).

    Raises:
        ValueError: where `steps` is below 2; the source, where the samples do not make whole rows.
    """
    if steps < 2:
        raise ValueError(f"steps must be 2 or more, found {steps}")
    angles = [0.5 * math.pi * k / (steps - 1) for k in range(steps)]

    def fill(out: Tensor) -> Tensor:
        if len(out) % steps:
            raise ValueError(f"{len(out)} samples do not make whole rows of {steps}")
        shape = (2, len(out) // steps, *out.shape[1:])
        ends = torch.empty(shape, dtype=out.dtype, device=out.device).normal_(generator=generator)
        rows = out.view(-1, steps, *out.shape[1:])
        for k, angle in enumerate(angles):
            rows[:, k] = math.cos(angle) * ends[0] + math.sin(angle) * ends[1]
        return out

    return fill
