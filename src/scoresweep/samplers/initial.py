"""Starting points of samplers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["initial_samples"]


def initial_samples(
    kind: Literal["uniform", "normal", "data_plus_noise"],
    count: int,
    shape: tuple[int, ...],
    *,
    sigma_max: float,
    data: Tensor | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return `count` starting points, (count, *shape), float32.

    Args:
        kind: "uniform" is U[0, 1]; "normal" is N(0, σ_1²); "data_plus_noise" is N(0, σ_1²) added to
            samples drawn from `data` with replacement.
        count: number of points.
        shape: shape of one point.
        sigma_max: σ_1.
        data: the training samples, (N, *shape), for "data_plus_noise".
        generator: source of random numbers, on `device`.
        device: device of the points.

    Raises:
        ValueError: if `kind` is "data_plus_noise" and `data` is missing.
    """
    size = (count, *shape)
    if kind == "uniform":
        return torch.rand(size, generator=generator, device=device)
    noise = sigma_max * torch.randn(size, generator=generator, device=device)
    if kind == "normal":
        return noise
    if data is None:
        raise ValueError("initial 'data_plus_noise' needs data, the training samples; found None")
    chosen = torch.randint(len(data), (count,), generator=generator, device=device)
    return data[chosen.to(data.device)].to(device) + noise
