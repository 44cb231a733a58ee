"""The place of a noise level in a ladder, for networks that embed the index."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["level_index", "level_position"]

SIGMA_RTOL = 1e-6
"""Relative tolerance for σ to be a level of the ladder: a few float32 rounding errors."""


def level_index(sigma: Tensor, sigmas: Tensor, network: str) -> tuple[Tensor, Tensor]:
    """Return the index of the level nearest to each σ, and whether σ differs from it; (N,).

    `sigma` (N,) are noise levels, `sigmas` (L,) is the ladder, `network` a name for the error. On a
    GPU, a σ that is not a level raises no error, because that would synchronise with the device at
    each step.

    Raises:
        ValueError: on a CPU, if a `sigma` is not a level of the ladder.
    """
    level, unknown = _nearest(sigma, sigmas)
    if sigma.device.type == "cpu" and bool(unknown.any()):
        index = int(level[unknown][0])
        raise ValueError(
            f"{network} has no embedding for sigma {float(sigma[unknown][0]):.7g}: the nearest of "
            f"its {len(sigmas)} levels is level {index + 1}, sigma {float(sigmas[index]):.7g}; use "
            f"the ladder of its training"
        )
    return level, unknown


def level_position(sigma: Tensor, sigmas: Tensor, network: str) -> tuple[Tensor, Tensor]:
    """Return the position of each σ in a ladder, from 0, and whether σ is outside it; (N,).

    At a level it is the index of the level; in between, it is linear in log σ. So a network samples
    with more levels than it was trained on, as for "P2000" of Song et al. (2021,
    https://arxiv.org/abs/2011.13456). `sigma` (N,) and `sigmas` (L,) are as for `level_index`.

    Raises:
        ValueError: on a CPU, if a `sigma` is larger than the first level or smaller than the last.
    """
    level, is_between = _nearest(sigma, sigmas)
    ladder, position = sigmas.float(), level.float()
    outside = is_between & ((sigma.float() > ladder[0]) | (sigma.float() < ladder[-1]))
    if len(ladder) > 1:
        above = (ladder > sigma.float()[:, None]).sum(dim=1).sub(1).clamp(0, len(ladder) - 2)
        first, second = ladder[above], ladder[above + 1]
        part = (first / sigma.float()).log() / (first / second).log()
        position = torch.where(is_between, above + part, position)
    if sigma.device.type == "cpu" and bool(outside.any()):
        ends = f"{float(ladder[0]):.7g} to {float(ladder[-1]):.7g}"
        raise ValueError(
            f"{network} has no embedding for sigma {float(sigma[outside][0]):.7g}, which is not "
            f"within its ladder, {ends}; use levels within it"
        )
    return position, outside


def _nearest(sigma: Tensor, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index of the level nearest to each σ, and whether σ differs from it; (N,)."""
    distance = (sigma[:, None].float() / sigmas.float() - 1).abs()
    nearest, level = distance.min(dim=1)
    return level, nearest > SIGMA_RTOL
