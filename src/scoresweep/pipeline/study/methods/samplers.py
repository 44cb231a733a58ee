"""Samplers, by name, and the ranges in which their options are valid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.known_ladder import smallest_sigma, static_sigmas

__all__ = ["AnySampler"]

StepSize = Annotated[float, Field(gt=0)]


class Sampler(MethodConfig):
    """What is common to samplers."""

    schedule: ClassVar[str]
    """"module:function" that checks the options on a ladder and returns the steps of its levels."""
    needs_energy: ClassVar[bool] = False
    """Whether the log density of the target is needed, not its score alone."""
    supports_tasks: ClassVar[bool] = False
    """Whether it can be asked for in-painting and interpolation."""

    name: str
    denoise: bool = True
    """End with the step x + σ_L² s(x, σ_L), without noise."""

    @property
    def needs_intermediate_levels(self) -> bool:
        """Whether it asks for scores between the levels of the ladder, too."""
        return False

    @property
    def is_langevin(self) -> bool:
        """Whether its steps are x + η s + √(2η) z."""
        return False

    def num_score_evaluations(self, levels: int) -> int:
        """Return how often the score of a sample is computed on a ladder of so many levels."""
        raise NotImplementedError

    def problems(self, noise: MethodConfig) -> Iterable[str]:  # noqa: ARG002 - for those that do
        """Say what is wrong with the options on the ladder `noise`, as "key: value: what"."""
        return ()


class AnnealedLangevin(Sampler):
    """Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1)."""

    target: ClassVar[str] = "scoresweep.samplers.annealed_langevin:annealed_langevin"
    schedule: ClassVar[str] = "scoresweep.samplers.annealed_langevin:level_step_sizes"
    supports_tasks: ClassVar[bool] = True
    name: Literal["annealed_langevin"]
    step_size: StepSize | Literal["auto"]
    """Step size ε of x ← x + η s + √(2η) z, with η = ε at the last level; "auto": NCSNv2's
    Technique 4."""
    steps_per_level: int = Field(5, ge=1)
    """Steps T at each level."""
    step_rule: Literal["variance", "linear", "constant", "denoise"] = "variance"
    """η_i: "variance" ε σ_i²/σ_L², "linear" ε σ_i/σ_1, "constant" ε, "denoise" σ_i²."""

    @property
    def is_langevin(self) -> bool:
        """Every step rule has such steps."""
        return True

    def num_score_evaluations(self, levels: int) -> int:
        """Return T for each level, and one for the denoising step."""
        return levels * self.steps_per_level + self.denoise

    def problems(self, noise: MethodConfig) -> Iterable[str]:
        """A step beyond 2σ² of its level diverges (see `samplers.step_rules`)."""
        if self.step_size == "auto":
            if self.step_rule != "variance":
                yield (
                    f"step_size: 'auto': is for the step rule 'variance'; expected a number with "
                    f"{self.step_rule!r}"
                )
            if len(static_sigmas(noise) or (0, 0)) < 2:
                yield "step_size: 'auto': needs two levels or more; expected a number"
            return
        smallest, sigmas = smallest_sigma(noise), static_sigmas(noise)
        # Under no rule is η_i/σ_i² larger than at the last level.
        limits = {"variance": 2 * smallest**2, "constant": 2 * smallest**2}
        if sigmas:
            limits["linear"] = 2 * sigmas[0] * smallest
        limit = limits.get(self.step_rule, math.inf)
        if self.step_size >= limit:
            what = "sigma_max sigma_min" if self.step_rule == "linear" else "sigma_min^2"
            yield (
                f"step_size: {self.step_size:g}: diverges, wherever the data is narrower than the "
                f"noise, on the ladder that ends at {smallest:g}; with the step rule "
                f"{self.step_rule!r}, expected less than 2 {what} = {limit:g}"
            )


class Consistent(Sampler):
    """Consistent annealed sampling (Jolicoeur-Martineau et al. 2020, Algorithm 2)."""

    target: ClassVar[str] = "scoresweep.samplers.consistent:consistent"
    schedule: ClassVar[str] = "scoresweep.samplers.consistent:schedule"
    name: Literal["consistent"]
    step_size: StepSize
    """Step size ε of x ← x + ε σ_i²/σ_L² s + (what makes the noise σ_{i+1}) z; with γ the least
    σ_{i+1}/σ_i, between σ_L²(1 − γ) and σ_L²(1 + γ)."""
    steps_per_level: int = Field(1, ge=1)
    """Steps from each level to the next: the ladder is refined so many times by equal factors."""
    denoise_from: Literal["after_last_step", "before_last_step"] = "after_last_step"
    """State that `denoise` starts from. The authors' program denoises the state before the last
    step, whose noise is σ_L."""

    @property
    def needs_intermediate_levels(self) -> bool:
        """More steps than one go through levels between those of the ladder."""
        return self.steps_per_level > 1

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each level of the refined ladder, and one to denoise after its end."""
        after = self.denoise and self.denoise_from == "after_last_step"
        return (levels - 1) * self.steps_per_level + 1 + after

    def problems(self, noise: MethodConfig) -> Iterable[str]:
        """Outside its range the noise to add would have a negative variance."""
        sigmas, smallest = static_sigmas(noise), smallest_sigma(noise)
        ratios = [low / high for high, low in pairwise(sigmas or [])]
        if sigmas is None:
            low, high = 0.0, 2 * smallest**2
        else:
            gamma = min(ratios, default=1.0) ** (1 / self.steps_per_level)
            low, high = smallest**2 * (1 - gamma), smallest**2 * (1 + gamma)
        if not low < self.step_size < high:
            yield (
                f"step_size: {self.step_size:g}: is not valid for consistent sampling on the "
                f"ladder that ends at {smallest:g}; expected more than sigma_min^2 (1 - gamma) = "
                f"{low:.4g} and less than sigma_min^2 (1 + gamma) = {high:.4g}"
            )


class Langevin(Sampler):
    """Langevin dynamics at one level, the ladder's last."""

    target: ClassVar[str] = "scoresweep.samplers.langevin:langevin"
    schedule: ClassVar[str] = "scoresweep.samplers.langevin:schedule"
    name: Literal["langevin"]
    steps: int = Field(ge=1)
    """Steps."""
    step_size: StepSize | None = None
    """Step size η of x ← x + η s + √(2η) z; null: `drift` and `noise_scale` are given instead."""
    drift: StepSize | None = None
    """d of x ← x + d s + c z."""
    noise_scale: float | None = Field(None, ge=0)
    """c of x ← x + d s + c z."""
    tanh: bool = False
    """At the very end, (1 + tanh(2x − 1))/2: tanh where data lies in [−1, 1]."""

    @model_validator(mode="after")
    def _one_form(self) -> Langevin:
        apart = (self.drift is not None, self.noise_scale is not None)
        if apart != ((self.step_size is None),) * 2:
            raise ValueError("either step_size, or both drift and noise_scale")
        return self

    @property
    def is_langevin(self) -> bool:
        """Drift and noise that are set apart are not bound to each other so."""
        return self.step_size is not None

    def num_score_evaluations(self, levels: int) -> int:  # noqa: ARG002 - it walks at one of them
        """Return one for each step, and one for the denoising step."""
        return self.steps + self.denoise

    def problems(self, noise: MethodConfig) -> Iterable[str]:
        """A drift beyond 2σ_L² diverges wherever the data is narrower than the noise."""
        limit = 2 * smallest_sigma(noise) ** 2
        for name, value in (("step_size", self.step_size), ("drift", self.drift)):
            if value is not None and value >= limit:
                yield (
                    f"{name}: {value:g}: diverges wherever the data is narrower than the noise, "
                    f"{smallest_sigma(noise):g}; expected less than 2 sigma_min^2 = {limit:g}"
                )


class DenoiseRenoise(Sampler):
    """x ← Denoise(x; σ_i²) + √c σ_i z, level by level."""

    target: ClassVar[str] = "scoresweep.samplers.denoise_renoise:denoise_renoise"
    schedule: ClassVar[str] = "scoresweep.samplers.denoise_renoise:schedule"
    name: Literal["denoise_renoise"]
    steps_per_level: int = Field(1, ge=1)
    """Steps at each level."""
    added_variance: float = Field(2.0, ge=0)
    """Variance c of the noise that is added, in units of σ_i²; 2 is Langevin dynamics."""

    @property
    def is_langevin(self) -> bool:
        """With twice the variance that is taken away it is, η_i = σ_i²."""
        return self.added_variance == 2

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each step, and one for the denoising step."""
        return levels * self.steps_per_level + self.denoise


class PredictorCorrector(Sampler):
    """Predictor-corrector sampling of the variance-exploding SDE (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.samplers.predictor_corrector:predictor_corrector"
    schedule: ClassVar[str] = "scoresweep.samplers.predictor_corrector:schedule"
    name: Literal["predictor_corrector"]
    predictor: Literal["reverse_diffusion", "ancestral"] = "reverse_diffusion"
    """The step from a level to the next."""
    corrector_steps: int = Field(1, ge=0)
    """Langevin steps at each level before it."""
    snr: float = Field(0.16, gt=0)
    """Signal-to-noise ratio r of those."""

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each step of the corrector and the predictor; the last one denoises."""
        return levels * (self.corrector_steps + 1)


class ProbabilityFlow(Sampler):
    """The probability-flow ODE of the variance-exploding SDE (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.samplers.probability_flow:probability_flow"
    schedule: ClassVar[str] = "scoresweep.samplers.probability_flow:schedule"
    name: Literal["probability_flow"]
    solver: Literal["heun", "euler"] = "heun"
    """How a step from a level to the next is taken."""

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each level, and for Heun's method one more for each step."""
        return levels if self.solver == "euler" else 2 * levels - 1


class Metropolis(Sampler):
    """The Metropolis algorithm at one level, the ladder's last, for targets with an energy."""

    target: ClassVar[str] = "scoresweep.samplers.metropolis:metropolis"
    schedule: ClassVar[str] = "scoresweep.samplers.metropolis:schedule"
    needs_energy: ClassVar[bool] = True
    name: Literal["metropolis"]
    step_size: StepSize
    """η of the proposal x + √(2η) z, or x + η s + √(2η) z."""
    steps: int = Field(ge=1)
    """Proposals."""
    proposal: Literal["random_walk", "langevin"] = "random_walk"
    """Whether a proposal follows the score (the Metropolis-adjusted Langevin algorithm)."""

    def num_score_evaluations(self, levels: int) -> int:  # noqa: ARG002 - it walks at one of them
        """Return one for each energy and each score."""
        return (self.steps + 1) * (2 if self.proposal == "langevin" else 1) + 1


AnySampler = Annotated[
    AnnealedLangevin
    | Consistent
    | Langevin
    | DenoiseRenoise
    | PredictorCorrector
    | ProbabilityFlow
    | Metropolis,
    Field(discriminator="name"),
]
