"""Run the sampler of a plugin, and check what it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.study.methods.tasks import AnyTask, Inpainting, Interpolation
from scoresweep.pipeline.study.origin import Origin
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredSampler
from scoresweep.pipeline.study.plugins.plugin_failures import named_failures
from scoresweep.pipeline.system.random_state import seeded_globally
from scoresweep.samplers.noise_sources import independent_noise
from scoresweep.score import Score, expand_sigma
from scoresweep.seeds import derive_seed

__all__ = ["count_score_evaluations", "run_plugin_sampler"]

Observe = Callable[[int, Tensor, Tensor], None]

TRIAL = 4
"""Number of samples of a trial run."""


@torch.no_grad()
def run_plugin_sampler(
    sampler: DeclaredSampler,
    score: Score,
    x: Tensor,
    sigmas: Tensor,
    *,
    observe: Observe,
    **arguments: Any,
) -> Tensor:
    """Return the samples of a plugin's sampler from the starting points `x` (N, ...).

    Takes the arguments of a built-in sampler, `generator` among them. The function is given those
    that it accepts. Global random numbers are seeded from `generator`. If the function
    observes no level, its result is observed as the state after the last one.

    Raises `RunError` if it fails, returns no tensor like `x`, or changes `x` or `sigmas`; NaN is
    left to the caller.
    """
    origin = sampler.origin
    assert origin is not None
    calls = _Calls(score, observe, len(sigmas), origin)
    sigmas = sigmas.to(x)  # ladders are float64; networks take one type
    before = x.clone(), sigmas.clone()
    arguments = {"observe": calls.observe, **arguments}
    accepted = {name: value for name, value in arguments.items() if name in sampler.accepted}
    with seeded_globally(_global_seed(arguments["generator"]), x.device), named_failures(origin):
        samples = sampler.load()(calls.score, x, sigmas, **accepted)
    for name, now, then in zip(("x", "sigmas"), (x, sigmas), before, strict=True):
        if not torch.equal(now, then):
            raise RunError(
                f"{origin}: changed its argument {name!r}; expected it to work on a copy: "
                f"{name} = {name}.clone()"
            )
    if not isinstance(samples, Tensor) or samples.shape != x.shape:
        found = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
        raise RunError(
            f"{origin}: returned {found} from starting points of shape {tuple(x.shape)}; expected "
            f"samples of that shape"
        )
    samples = samples.to(x)
    if not calls.observed:
        last = torch.zeros_like(samples) if calls.last is None else calls.last
        observe(len(sigmas) - 1, samples, last)
    if sampler.is_denoised_by_pipeline:
        sigma = x.new_full((len(x),), float(sigmas[-1]))
        samples = samples + float(sigmas[-1]) ** 2 * score(samples, sigma)
        if "mask" in arguments:  # in-painting
            samples = torch.where(arguments["mask"], arguments["known"], samples)
    return samples


def _global_seed(generator: torch.Generator) -> int:
    """Return a seed for the random numbers that a sampler draws without `generator`.

    It differs from the seed of `generator`, from which the starting points are drawn.
    """
    return derive_seed(generator.initial_seed(), "global")


def count_score_evaluations(
    sampler: DeclaredSampler, shape: tuple[int, ...], sigmas: Tensor, task: AnyTask | None = None
) -> int:
    """Return how often the score of a sample is computed, in a trial run.

    The score is that of data that are all 0, −x/σ², and the trial draws `TRIAL` samples.

    Args:
        sampler: the sampler and its options.
        shape: shape of a sample.
        sigmas: the ladder, (L,).
        task: in-painting, interpolation or None.

    Raises:
        InputError: if the sampler fails.
    """
    count = 0

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal count
        count += len(x)
        return -x / expand_sigma(sigma, x).square()

    generator = torch.Generator().manual_seed(0)
    x = float(sigmas[0]) * torch.randn(TRIAL, *shape, generator=generator)
    options = {"generator": generator, "observe": lambda *_: None, **sampler.arguments()}
    if isinstance(task, Interpolation):
        options["noise"] = independent_noise(generator)
    if isinstance(task, Inpainting):
        options |= {"known": torch.zeros_like(x), "mask": torch.ones(shape, dtype=torch.bool)}
    try:
        run_plugin_sampler(sampler, score, x, sigmas, **options)
    except RunError as error:
        raise InputError(
            f"{error}\n  in a trial run that counts score evaluations, with the score −x/σ²; "
            f"@sampler(num_score_evaluations=...) avoids the trial run"
        ) from None
    return math.ceil(count / TRIAL)


class _Calls:
    """What a sampler calls: the score, and the observer of its levels."""

    def __init__(self, score: Score, observe: Observe, levels: int, origin: Origin) -> None:
        self._score, self._observe, self._levels, self._origin = score, observe, levels, origin
        self.last: Tensor | None = None
        """The last score."""
        self.observed = False

    def score(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.last = self._score(x, sigma)
        return self.last

    def observe(self, level: int, x: Tensor, score: Tensor) -> None:
        if not isinstance(level, int) or not 0 <= level < self._levels:
            raise RunError(
                f"{self._origin}: observe: level {level}: expected the index of a level, 0 to "
                f"{self._levels - 1}"
            )
        self.observed = True
        self._observe(level, x, score)
