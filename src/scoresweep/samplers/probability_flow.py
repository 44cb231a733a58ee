"""The probability-flow ODE of the variance-exploding SDE (Song et al. 2021, section 4.3).

With σ as time it is dx/dσ = −σ s(x, σ) (Karras et al. 2022, eq. 1), which maps x drawn from q_{σ_1}
to a sample of q_σ without noise. It is solved with one step from each level to the next,

    Euler:  x' = x + h f(x, σ_i)                       h = σ_{i+1} − σ_i,  f(x, σ) = −σ s(x, σ)
    Heun:   x' = x + h (f(x, σ_i) + f(x_Euler, σ_{i+1}))/2

The denoising step x + σ_L² s is Euler's step to σ = 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.sampler_limits import Solver, check_probability_flow
from scoresweep.samplers.step_sizes import last_level_only
from scoresweep.score import Score

__all__ = ["level_step_sizes", "probability_flow"]


def level_step_sizes(sigmas: Tensor, **_: object) -> Tensor:
    """Return NaN for each level, (L,), float64: there is no Langevin step."""
    return last_level_only(sigmas)


@torch.no_grad()
def probability_flow(
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    solver: Solver = "heun",
    denoise: bool = True,
    generator: torch.Generator | None = None,  # noqa: ARG001 - the signature of all samplers
    observe: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return samples (N, ...) of the probability-flow ODE from `x`, as a new tensor.

    Args:
        score: the score of the smoothed data.
        x: starting points, (N, ...).
        sigmas: the ladder σ_1 > … > σ_L, (L,).
        solver: "heun" (second order) or "euler" (first).
        denoise: end with x + σ_L² s(x, σ_L).
        generator: not used; the ODE is deterministic.
        observe: called at each level with its index (from 0), x and the score there. x is
            overwritten by later steps: copy it to keep it.

    Raises:
        ValueError: if an option is outside its range (see `check_probability_flow`).
    """
    check_probability_flow(solver=solver)
    ladder = sigmas.tolist()
    x = x.clone()
    for level, sigma in enumerate(ladder):
        score_x = score(x, x.new_full((len(x),), sigma))
        if observe is not None:
            observe(level, x, score_x)
        if level + 1 == len(ladder):
            break
        next_sigma = ladder[level + 1]
        step = sigma * (sigma - next_sigma)
        if solver == "euler":
            x.add_(score_x, alpha=step)
            continue
        next_score = score(x + step * score_x, x.new_full((len(x),), next_sigma))
        x.add_(score_x, alpha=0.5 * step).add_(
            next_score, alpha=0.5 * next_sigma * (sigma - next_sigma)
        )
    return x.add_(score_x, alpha=ladder[-1] ** 2) if denoise else x
