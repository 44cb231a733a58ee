"""Limits of samplers' options on a noise ladder, in plain floats.

PyTorch is not imported, so that planning a study is fast. The samplers run the same
checks before their first step.

Levels that are not known yet, because the training data decide them, are given as infinity. A check
then raises only if the option is invalid for every ladder with the known levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

__all__ = ["StepRule", "check_annealed_langevin", "check_consistent", "check_langevin"]

StepRule = Literal["variance", "linear", "constant", "denoise"]


def check_annealed_langevin(
    sigmas: Sequence[float],
    *,
    step_size: float | Literal["auto"],
    step_rule: StepRule = "variance",
    **_: object,
) -> None:
    """Check that no step η_i reaches 2σ_i².

    Where the data are narrower than the noise, a step multiplies distances by |1 − η_i/σ_i²|, so
    beyond that limit samples diverge. Under every rule η_i/σ_i² is largest at the last level.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        step_size: ε, or "auto" for Technique 4.
        step_rule: how η_i follows from ε (see `scoresweep.samplers.step_sizes`).

    Raises:
        ValueError: if a step diverges, or `step_size` is "auto" with another rule than "variance"
            or on a single level.
    """
    if step_size == "auto":
        if step_rule != "variance":
            raise ValueError(
                f"step_size: 'auto': needs the step rule 'variance'; expected a number with "
                f"{step_rule!r}"
            )
        if len(sigmas) < 2:
            raise ValueError("step_size: 'auto': needs two levels or more; expected a number")
        return
    first, last = sigmas[0], sigmas[-1]
    formula, limit = {
        "variance": ("2 sigma_min^2", 2 * last**2),
        "linear": ("2 sigma_max sigma_min", 2 * first * last),
        "constant": ("2 sigma_min^2", 2 * last**2),
        "denoise": ("", math.inf),
    }[step_rule]
    if step_size >= limit:
        raise ValueError(
            f"step_size: {step_size:g}: diverges where the data are narrower than the noise; with "
            f"the step rule {step_rule!r}, expected less than {formula} = {limit:g}"
        )


def check_consistent(
    sigmas: Sequence[float], *, step_size: float, steps_per_level: int = 1, **_: object
) -> None:
    """Check that the noise to add has a positive variance at every level.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        step_size: ε.
        steps_per_level: steps from each level to the next, by equal factors.

    Raises:
        ValueError: unless σ_L²(1 − γ) < ε < σ_L²(1 + γ), where γ is the smallest ratio σ_{i+1}/σ_i
            of the refined ladder.
    """
    ratios = [low / high for high, low in pairwise(sigmas) if math.isfinite(high)]
    gamma = min(ratios, default=1.0) ** (1 / steps_per_level)
    low, high = sigmas[-1] ** 2 * (1 - gamma), sigmas[-1] ** 2 * (1 + gamma)
    if not low < step_size < high:
        raise ValueError(
            f"step_size: {step_size:g}: is not valid for consistent sampling on this ladder; "
            f"expected more than sigma_min^2 (1 - gamma) = {low:.4g} and less than "
            f"sigma_min^2 (1 + gamma) = {high:.4g}, where gamma = {gamma:.4g} is the smallest "
            f"ratio of neighbouring levels"
        )


def check_langevin(
    sigmas: Sequence[float],
    *,
    step_size: float | None = None,
    drift: float | None = None,
    noise_scale: float | None = None,
    **_: object,
) -> None:
    """Check that Langevin dynamics at the last level has one step size that does not diverge.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        step_size: η.
        drift: d, given with `noise_scale` in place of `step_size`.
        noise_scale: c.

    Raises:
        ValueError: unless either `step_size` or both `drift` and `noise_scale` are given, or if the
            drift reaches 2σ_L² (see `check_annealed_langevin`).
    """
    if (step_size is None) == (drift is None) or (drift is None) != (noise_scale is None):
        raise ValueError(
            f"step_size: {step_size}: expected either step_size, or both drift and noise_scale; "
            f"found drift {drift} and noise_scale {noise_scale}"
        )
    name, value = ("drift", drift) if step_size is None else ("step_size", step_size)
    limit = 2 * sigmas[-1] ** 2
    if value is not None and value >= limit:
        raise ValueError(
            f"{name}: {value:g}: diverges where the data are narrower than the noise; expected "
            f"less than 2 sigma_min^2 = {limit:g}"
        )
