"""Limits of samplers' options, in plain floats.

PyTorch is not imported, so that planning a study is fast. The samplers run the same checks before
their first step. An error says "option: value: expected ...".

Levels that are not known yet, because the training data decide them, are given as infinity. A check
then raises only if the option is invalid for every ladder with the known levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

__all__ = [
    "DenoiseFrom",
    "Predictor",
    "Proposal",
    "Solver",
    "StepRule",
    "Time",
    "check_annealed_langevin",
    "check_consistent",
    "check_denoise_renoise",
    "check_edm",
    "check_langevin",
    "check_metropolis",
    "check_predictor_corrector",
    "check_probability_flow",
    "consistent_step_size_limits",
    "step_size_limit",
]

StepRule = Literal["variance", "linear", "constant", "denoise"]
DenoiseFrom = Literal["after_last_step", "before_last_step"]
Predictor = Literal["reverse_diffusion", "ancestral", "probability_flow", "none"]
Solver = Literal["heun", "euler"]
Time = Literal["sigma", "variance"]
Proposal = Literal["random_walk", "langevin"]


def check_annealed_langevin(
    sigmas: Sequence[float],
    *,
    step_size: float | Literal["auto"],
    steps_per_level: int = 5,
    step_rule: StepRule = "variance",
    **_: object,
) -> None:
    """Check the options, and that no step η_i reaches 2σ_i².

    Where the data are narrower than the noise, a step multiplies distances by |1 − η_i/σ_i²|, so
    beyond that limit samples diverge. Under every rule η_i/σ_i² is largest at the last level.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        step_size: ε, or "auto" for Technique 4.
        steps_per_level: T, 1 or more.
        step_rule: how η_i follows from ε (see `scoresweep.samplers.step_sizes`).

    Raises:
        ValueError: if an option is outside its range, a step diverges, or `step_size` is "auto"
            with another rule than "variance" or on a single level.
    """
    require_choice("step_rule", step_rule, StepRule)
    require("steps_per_level", steps_per_level, steps_per_level >= 1, "1 or more")
    if step_size == "auto":
        if step_rule != "variance":
            raise ValueError(
                f"step_size: 'auto': needs the step rule 'variance'; expected a number with "
                f"{step_rule!r}"
            )
        if len(sigmas) < 2:
            raise ValueError("step_size: 'auto': needs two levels or more; expected a number")
        return
    require("step_size", step_size, step_size > 0, "more than 0")
    limit = step_size_limit(sigmas, step_rule)
    if step_size >= limit:
        formula = "2 sigma_max sigma_min" if step_rule == "linear" else "2 sigma_min^2"
        raise ValueError(
            f"step_size: {step_size:g}: diverges where the data are narrower than the noise; with "
            f"the step rule {step_rule!r}, expected less than {formula} = {limit:g}"
        )


def step_size_limit(sigmas: Sequence[float], step_rule: StepRule = "variance") -> float:
    """Return the step size ε from which annealed Langevin dynamics diverges on `sigmas` (L,).

    A step η_i at the last level is then 2σ_L² (see `check_annealed_langevin`).
    """
    first, last = sigmas[0], sigmas[-1]
    return {
        "variance": 2 * last**2,
        "linear": 2 * first * last,
        "constant": 2 * last**2,
        "denoise": math.inf,
    }[step_rule]


def check_consistent(
    sigmas: Sequence[float],
    *,
    step_size: float,
    steps_per_level: int = 1,
    denoise_from: DenoiseFrom = "after_last_step",
    **_: object,
) -> None:
    """Check the options, and that the noise to add has a positive variance at every level.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        step_size: ε.
        steps_per_level: steps from each level to the next, by equal factors, 1 or more.
        denoise_from: "after_last_step" or "before_last_step".

    Raises:
        ValueError: if an option is outside its range. That of ε lies between its
            `consistent_step_size_limits`.
    """
    require("steps_per_level", steps_per_level, steps_per_level >= 1, "1 or more")
    require_choice("denoise_from", denoise_from, DenoiseFrom)
    low, high = consistent_step_size_limits(sigmas, steps_per_level)
    if not low < step_size < high:
        gamma = 1 - low / sigmas[-1] ** 2
        raise ValueError(
            f"step_size: {step_size:g}: is not valid for consistent sampling on this ladder; "
            f"expected more than sigma_min^2 (1 - gamma) = {low:.4g} and less than "
            f"sigma_min^2 (1 + gamma) = {high:.4g}, where gamma = {gamma:.4g} is the smallest "
            f"ratio of neighbouring levels"
        )


def consistent_step_size_limits(
    sigmas: Sequence[float], steps_per_level: int = 1
) -> tuple[float, float]:
    """Return the limits σ_L²(1 − γ) and σ_L²(1 + γ) of ε in consistent sampling on `sigmas` (L,).

    γ is the smallest ratio σ_{i+1}/σ_i of the refined ladder (see `check_consistent`).
    """
    ratios = [low / high for high, low in pairwise(sigmas) if math.isfinite(high)]
    gamma = min(ratios, default=1.0) ** (1 / steps_per_level)
    return sigmas[-1] ** 2 * (1 - gamma), sigmas[-1] ** 2 * (1 + gamma)


def check_langevin(
    sigmas: Sequence[float],
    *,
    steps: int,
    step_size: float | None = None,
    drift: float | None = None,
    noise_scale: float | None = None,
    **_: object,
) -> None:
    """Check the options, and that there is one step size, which does not diverge.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        steps: T, 1 or more.
        step_size: η, above 0.
        drift: d, above 0, given with `noise_scale` in place of `step_size`.
        noise_scale: c, 0 or more.

    Raises:
        ValueError: if an option is outside its range, or the drift reaches 2σ_L² (see
            `check_annealed_langevin`). Either `step_size`, or both `drift` and `noise_scale` are
            required.
    """
    require("steps", steps, steps >= 1, "1 or more")
    if (step_size is None) == (drift is None) or (drift is None) != (noise_scale is None):
        raise ValueError(
            f"step_size: {step_size}: expected either step_size, or both drift and noise_scale; "
            f"found drift {drift} and noise_scale {noise_scale}"
        )
    if noise_scale is not None:
        require("noise_scale", noise_scale, noise_scale >= 0, "0 or more")
    name, value = ("drift", drift) if step_size is None else ("step_size", step_size)
    assert value is not None
    require(name, value, value > 0, "more than 0")
    limit = 2 * sigmas[-1] ** 2
    if value >= limit:
        raise ValueError(
            f"{name}: {value:g}: diverges where the data are narrower than the noise; expected "
            f"less than 2 sigma_min^2 = {limit:g}"
        )


def check_denoise_renoise(
    *, steps_per_level: int = 1, added_variance: float = 2.0, **_: object
) -> None:
    """Raise ValueError if an option is outside its range."""
    require("steps_per_level", steps_per_level, steps_per_level >= 1, "1 or more")
    require("added_variance", added_variance, added_variance >= 0, "0 or more")


def check_predictor_corrector(
    *,
    predictor: Predictor = "reverse_diffusion",
    corrector_steps: int = 1,
    snr: float = 0.16,
    **_: object,
) -> None:
    """Raise ValueError if an option is outside its range."""
    require_choice("predictor", predictor, Predictor)
    least = 1 if predictor == "none" else 0
    require("corrector_steps", corrector_steps, corrector_steps >= least, f"{least} or more")
    require("snr", snr, snr > 0, "more than 0")


def check_probability_flow(*, solver: Solver = "heun", **_: object) -> None:
    """Raise ValueError if there is no such solver."""
    require_choice("solver", solver, Solver)


def check_edm(
    sigmas: Sequence[float],
    *,
    s_churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float | None = None,
    s_noise: float = 1.0,
    time: Time = "sigma",
    denoise: bool = True,
    **_: object,
) -> None:
    """Check the options, and that those of churn have an effect.

    Args:
        sigmas: σ_1 > … > σ_L, (L,), in units of the data.
        s_churn: amount of churn, 0 or more.
        s_min: smallest level with churn, 0 or more.
        s_max: largest level with churn; None: no limit.
        s_noise: factor of the noise, above 0.
        time: "sigma" or "variance".
        denoise: whether the last level can have churn.

    Raises:
        ValueError: if an option is outside its range; with churn, if no level that can have it is
            from `s_min` to `s_max`; without, if another option of churn is not at its default.
    """
    require("s_churn", s_churn, s_churn >= 0, "0 or more")
    require("s_min", s_min, s_min >= 0, "0 or more")
    require("s_noise", s_noise, s_noise > 0, "more than 0")
    require_choice("time", time, Time)
    highest = math.inf if s_max is None else s_max
    require(
        "s_max",
        s_max,
        highest > 0 and highest >= s_min,
        f"more than 0, and s_min, {s_min:g}, or more",
    )
    if s_churn:
        _check_range_of_churn(sigmas, s_churn, s_min, highest, denoise)
        return
    reason = "s_churn above 0, because it has no effect without churn"
    require("s_min", s_min, s_min == 0, f"0.0, or {reason}")
    require("s_max", s_max, s_max is None, f"null, or {reason}")
    require("s_noise", s_noise, s_noise == 1, f"1.0, or {reason}")


def _check_range_of_churn(
    sigmas: Sequence[float], s_churn: float, s_min: float, s_max: float, denoise: bool
) -> None:
    """Raise ValueError if no level has churn; the last one has none without `denoise`."""
    levels = sigmas if denoise or sigmas[-1] == math.inf else sigmas[:-1]
    if not any(s_min <= sigma <= s_max or sigma == math.inf for sigma in levels):
        without = "" if denoise else " above the last, because denoise is false"
        raise ValueError(
            f"s_churn: {s_churn:g}: has no effect, because no level is from s_min {s_min:g} to "
            f"s_max {s_max:g}; expected s_churn 0, or a range that contains a level of the "
            f"ladder, {sigmas[0]:g} to {sigmas[-1]:g}{without}"
        )


def check_metropolis(
    *, step_size: float, steps: int, proposal: Proposal = "random_walk", **_: object
) -> None:
    """Raise ValueError if an option is outside its range."""
    require("step_size", step_size, step_size > 0, "more than 0")
    require("steps", steps, steps >= 1, "1 or more")
    require_choice("proposal", proposal, Proposal)


def require(option: str, value: object, condition: bool, expected: str) -> None:
    """Raise ValueError unless `condition` holds."""
    if not condition:
        raise ValueError(f"{option}: {value!r}: expected {expected}")


def require_choice(option: str, value: object, choices: Any) -> None:
    """Raise ValueError unless `value` is in the Literal `choices`."""
    values = get_args(choices)
    require(option, value, value in values, " or ".join(map(repr, values)))
