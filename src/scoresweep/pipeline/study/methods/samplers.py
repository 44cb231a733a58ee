"""Options of samplers, by name."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import Labelled, MethodConfig
from scoresweep.pipeline.study.methods.noise import NoiseLadder
from scoresweep.sampler_limits import (
    DenoiseFrom,
    Predictor,
    Proposal,
    Solver,
    StepRule,
    Time,
    check_annealed_langevin,
    check_consistent,
    check_edm,
    check_langevin,
    check_predictor_corrector,
)

__all__ = ["AnySampler"]

# `scoresweep.sampler_limits` decides which options are valid. The bounds of the fields repeat it
# for the JSON schema, so that editors show them; a test compares both.
StepSize = Annotated[float, Field(gt=0)]


class Sampler(Labelled, MethodConfig):
    """Base class of samplers."""

    needs_energy: ClassVar[bool] = False
    """Whether the sampler needs the log density of the target besides its score."""
    supports_tasks: ClassVar[bool] = False
    """Whether the sampler can do in-painting and interpolation."""
    without_intermediate_levels: ClassVar[str] = ""
    """The option, "name: value", with which only levels of the ladder are used."""
    starts_with_noise: ClassVar[bool] = False
    """Whether it needs starting points with noise of the first level, not only any points."""

    name: str

    @property
    def level_step_sizes(self) -> str:
        """The "module:function" that returns the step size of each level of a ladder."""
        return f"{self.target.split(':')[0]}:level_step_sizes"

    def load_step_sizes(self) -> Callable[..., Any]:
        """Import and return the function that `level_step_sizes` names."""
        function: Callable[..., Any] = pkgutil.resolve_name(self.level_step_sizes)
        return function

    @property
    def needs_intermediate_levels(self) -> bool:
        """Whether the score is computed between the levels of the ladder too."""
        return False

    @property
    def is_langevin(self) -> bool:
        """Whether a step is x + η s + √(2η) z."""
        return False

    def num_score_evaluations(self, levels: int) -> int | None:
        """Return how often the score of one sample is computed on a ladder of `levels` levels.

        None: only a trial run can tell.
        """
        raise NotImplementedError

    def check(self, sigmas: Sequence[float]) -> None:
        """Raise ValueError, "option: value: reason", if the options do not fit the ladder `sigmas`.

        Infinity stands for levels not known yet (see `scoresweep.sampler_limits`).
        """

    def problems(self, noise: NoiseLadder) -> Iterable[str]:
        """Yield what is wrong with the options on the ladder `noise`: "option: value: reason"."""
        sigmas = noise.known_sigmas()
        if math.isfinite(sigmas[-1]):
            try:
                self.check(sigmas)
            except ValueError as error:
                yield str(error)


class Denoising(Sampler):
    """Base class of samplers that can end with a denoising step."""

    denoise: bool = True
    """End with the step x + σ_L² s(x, σ_L), without noise."""


class AnnealedLangevin(Denoising):
    """Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1)."""

    target: ClassVar[str] = "scoresweep.samplers.annealed_langevin:annealed_langevin"
    supports_tasks: ClassVar[bool] = True
    name: Literal["annealed_langevin"]
    step_size: StepSize | Literal["auto"]
    """Step size ε of x ← x + η s + √(2η) z; `step_rule` gives η_i. With "variance", ε is η at the
    last level; with "linear", at the first; with "denoise", ε is not used. "auto": NCSNv2's
    Technique 4."""
    steps_per_level: int = Field(5, ge=1)
    """Number of steps T at each level."""
    step_rule: StepRule = "variance"
    """η_i: "variance" ε σ_i²/σ_L², "linear" ε σ_i/σ_1, "constant" ε, "denoise" σ_i²."""

    @property
    def is_langevin(self) -> bool:
        """True: every step rule sets both drift and noise by η."""
        return True

    def num_score_evaluations(self, levels: int) -> int:
        """Return T for each level, and one for the denoising step."""
        return levels * self.steps_per_level + self.denoise

    def check(self, sigmas: Sequence[float]) -> None:
        """Raise ValueError if a step diverges on `sigmas`."""
        check_annealed_langevin(sigmas, **self.arguments())


class Consistent(Denoising):
    """Consistent annealed sampling (Jolicoeur-Martineau et al. 2020, Algorithm 2)."""

    target: ClassVar[str] = "scoresweep.samplers.consistent:consistent"
    without_intermediate_levels: ClassVar[str] = "steps_per_level: 1"
    name: Literal["consistent"]
    step_size: StepSize
    """Step size ε of x ← x + ε σ_i²/σ_L² s + c_i z, where c_i makes the noise σ_{i+1}; between
    σ_L²(1 − γ) and σ_L²(1 + γ), where γ is the smallest σ_{i+1}/σ_i."""
    steps_per_level: int = Field(1, ge=1)
    """Number of steps from each level to the next; the ladder is refined by equal factors."""
    denoise_from: DenoiseFrom = "after_last_step"
    """State that `denoise` starts from. The authors' program denoises the state before the last
    step, whose noise is σ_L."""

    @property
    def needs_intermediate_levels(self) -> bool:
        """Whether there is more than one step from a level to the next."""
        return self.steps_per_level > 1

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each level of the refined ladder, and one to denoise after its end."""
        after = self.denoise and self.denoise_from == "after_last_step"
        return (levels - 1) * self.steps_per_level + 1 + after

    def check(self, sigmas: Sequence[float]) -> None:
        """Raise ValueError if the noise to add would have a negative variance on `sigmas`."""
        check_consistent(sigmas, **self.arguments())


class Langevin(Denoising):
    """Langevin dynamics at the last level of the ladder."""

    target: ClassVar[str] = "scoresweep.samplers.langevin:langevin"
    name: Literal["langevin"]
    steps: int = Field(ge=1)
    """Number of steps."""
    step_size: StepSize | None = None
    """Step size η of x ← x + η s + √(2η) z; null if `drift` and `noise_scale` are given."""
    drift: StepSize | None = None
    """d of x ← x + d s + c z."""
    noise_scale: float | None = Field(None, ge=0)
    """c of x ← x + d s + c z."""
    tanh: bool = False
    """At the very end, map x to (1 + tanh(2x − 1))/2: tanh for data in [−1, 1]."""

    @property
    def is_langevin(self) -> bool:
        """False if drift and noise scale are set separately."""
        return self.step_size is not None

    def num_score_evaluations(self, levels: int) -> int:  # noqa: ARG002 - one level is used
        """Return one for each step, and one for the denoising step."""
        return self.steps + self.denoise

    def check(self, sigmas: Sequence[float]) -> None:
        """Raise ValueError if the step diverges at the last of `sigmas`, or is given twice."""
        check_langevin(sigmas, **self.arguments())


class DenoiseRenoise(Denoising):
    """x ← Denoise(x; σ_i²) + √c σ_i z, level by level."""

    target: ClassVar[str] = "scoresweep.samplers.denoise_renoise:denoise_renoise"
    name: Literal["denoise_renoise"]
    steps_per_level: int = Field(1, ge=1)
    """Number of steps at each level."""
    added_variance: float = Field(2.0, ge=0)
    """Variance c of the added noise, in units of σ_i²; 2 is Langevin dynamics."""

    @property
    def is_langevin(self) -> bool:
        """True if twice the variance that a step removes is added: η_i = σ_i²."""
        return self.added_variance == 2

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each step, and one for the denoising step."""
        return levels * self.steps_per_level + self.denoise


class PredictorCorrector(Denoising):
    """Predictor-corrector sampling of the variance-exploding SDE (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.samplers.predictor_corrector:predictor_corrector"
    starts_with_noise: ClassVar[bool] = True
    name: Literal["predictor_corrector"]
    predictor: Predictor = "reverse_diffusion"
    """Step from a level to the next; "none": the corrector alone."""
    corrector_steps: int = Field(1, ge=0)
    """Number of Langevin steps at each level, before the predictor step; at least 1 without a
    predictor."""
    snr: float = Field(0.16, gt=0)
    """Signal-to-noise ratio r of the Langevin steps."""
    denoise: bool = True
    """End with the predictor's step to σ = 0, without noise: x + σ_L² s(x, σ_L), and half of that
    with the predictor "probability_flow"."""

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each step of corrector and predictor; the last predictor step denoises."""
        if self.predictor == "none":
            return levels * self.corrector_steps + self.denoise
        return levels * (self.corrector_steps + 1)

    def check(self, sigmas: Sequence[float]) -> None:  # noqa: ARG002 - the same for every ladder
        """Raise ValueError if there is neither predictor nor corrector."""
        check_predictor_corrector(**self.arguments())


class ProbabilityFlow(Denoising):
    """The probability-flow ODE of the variance-exploding SDE (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.samplers.probability_flow:probability_flow"
    starts_with_noise: ClassVar[bool] = True
    name: Literal["probability_flow"]
    solver: Solver = "heun"
    """Method of the step from a level to the next."""

    def num_score_evaluations(self, levels: int) -> int:
        """Return one for each level; Heun's method takes one more for each step."""
        return levels if self.solver == "euler" else 2 * levels - 1


class EDM(Denoising):
    """EDM's stochastic sampler: Heun's method with churn (Karras et al. 2022, Algorithm 2); starts
    from `initial: normal`."""

    target: ClassVar[str] = "scoresweep.samplers.edm:edm"
    starts_with_noise: ClassVar[bool] = True
    without_intermediate_levels: ClassVar[str] = "s_churn: 0"
    name: Literal["edm"]
    s_churn: float = Field(0.0, ge=0)
    """Amount of churn, S_churn: before a step, σ_i is raised by the factor
    1 + min(S_churn/L, √2 − 1); 0: no noise is added."""
    s_min: float = Field(0.0, ge=0)
    """Smallest level with churn, S_min, in units of the data (pixels in [0, 1]: half of the
    paper's)."""
    s_max: float | None = Field(None, gt=0)
    """Largest level with churn, S_max, in the same units; null: no limit."""
    s_noise: float = Field(1.0, gt=0)
    """Factor of the added noise, S_noise."""
    time: Time = "sigma"
    """Variable in which Heun's method steps: "sigma" (EDM) or "variance", σ² (the
    variance-exploding SDE)."""
    denoise: bool = True
    """End with Euler's step to σ = 0: x + σ² s in time "sigma", x + σ² s/2 in time "variance"."""

    @property
    def needs_intermediate_levels(self) -> bool:
        """Whether churn raises levels."""
        return self.s_churn > 0

    def num_score_evaluations(self, levels: int) -> int:
        """Return two for each step between levels, and one for the last level."""
        return 2 * levels - 1

    def check(self, sigmas: Sequence[float]) -> None:
        """Raise ValueError if no level of `sigmas` has churn although `s_churn` is above 0."""
        check_edm(sigmas, **self.arguments())


class Metropolis(Denoising):
    """The Metropolis algorithm at the last level of the ladder; needs an exact score."""

    target: ClassVar[str] = "scoresweep.samplers.metropolis:metropolis"
    needs_energy: ClassVar[bool] = True
    name: Literal["metropolis"]
    step_size: StepSize
    """η of the proposal x + √(2η) z, or x + η s + √(2η) z."""
    steps: int = Field(ge=1)
    """Number of proposals."""
    proposal: Proposal = "random_walk"
    """Whether a proposal follows the score (the Metropolis-adjusted Langevin algorithm)."""

    def num_score_evaluations(self, levels: int) -> int:  # noqa: ARG002 - one level is used
        """Return one for each energy and each score."""
        return (self.steps + 1) * (2 if self.proposal == "langevin" else 1) + 1


AnySampler = Annotated[
    AnnealedLangevin
    | Consistent
    | Langevin
    | DenoiseRenoise
    | PredictorCorrector
    | ProbabilityFlow
    | EDM
    | Metropolis,
    Field(discriminator="name"),
]
