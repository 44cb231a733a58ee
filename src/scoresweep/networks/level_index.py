"""The index of a noise level in its ladder, for networks that embed the index."""

from __future__ import annotations

from torch import Tensor

__all__ = ["level_index"]

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
    distance = (sigma[:, None].float() / sigmas.float() - 1).abs()
    nearest, level = distance.min(dim=1)
    unknown = nearest > SIGMA_RTOL
    if sigma.device.type == "cpu" and bool(unknown.any()):
        index = int(level[unknown][0])
        raise ValueError(
            f"{network} has no embedding for sigma {float(sigma[unknown][0]):.7g}: the nearest of "
            f"its {len(sigmas)} levels is level {index + 1}, sigma {float(sigmas[index]):.7g}; use "
            f"the ladder of its training"
        )
    return level, unknown
