"""The study file as types: what may stand in it, with units and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from scoresweep.pipeline.study.config import NO_EFFECT, Config
from scoresweep.pipeline.study.methods.datasets import LONGEST_NAME, AnyDataset
from scoresweep.pipeline.study.methods.metrics import ExtractorName, MetricName
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.methods.noise import AnyNoise
from scoresweep.pipeline.study.methods.objectives import DSM, AnyObjective
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.pipeline.study.methods.tasks import AnyTask

__all__ = [
    "NETWORK_OPTIONS",
    "Checkpoints",
    "Evaluate",
    "EvaluateBlock",
    "Logging",
    "Optimizer",
    "Sample",
    "SampleBlock",
    "Study",
    "Sweep",
    "Train",
    "TrainBlock",
]


class Optimizer(Config):
    """Adam (Kingma and Ba 2015), with decoupled weight decay where asked for."""

    learning_rate: float = Field(1e-3, gt=0)
    """Step length after the warm-up."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rate goes on after the warm-up; "cosine" ends at zero."""
    warmup: int = Field(0, ge=0)
    """Steps over which the learning rate rises from zero."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the gradient's running mean."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of the squared gradient's running mean."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay, per unit of learning rate."""


class Checkpoints(Config):
    """When a run is saved, so that it can go on after a stop."""

    steps: int = Field(1000, ge=1)
    """Save every so many steps."""
    minutes: float = Field(10.0, gt=0)
    """Save when so many minutes have passed since the last save."""
    keep: int = Field(2, ge=1)
    """Keep so many of the newest checkpoints."""


class Logging(Config):
    """How often curves and pictures go to TensorBoard."""

    scalars: int = Field(50, ge=1)
    """Steps between two points of a curve; a point is the mean over them."""
    images: int = Field(1000, ge=1)
    """Steps between two pictures of samples of the averaged weights."""
    image_count: int = Field(16, ge=0)
    """Samples in such a picture; 0 for none."""
    weights: int | None = Field(None, ge=1)
    """Steps between two copies of the averaged weights under `history/`, the first before any step,
    in which the fit can be seen to grow; null: none."""


class Train(Config):
    """How one network is trained."""

    network: AnyNetwork
    """The score network."""
    objective: AnyObjective = DSM(name="dsm")
    """What it is trained on."""
    noise: AnyNoise
    """The noise ladder."""
    optimizer: Optimizer = Optimizer()
    """The optimiser."""
    steps: int = Field(ge=1)
    """Optimiser steps. The network `oracle` takes none, whatever stands here."""
    batch_size: int = Field(128, ge=1)
    """Samples of one optimiser step, over all processes."""
    gradient_accumulation: int = Field(1, ge=1)
    """Parts into which a process cuts its share of a batch; more parts need less memory."""
    gradient_clip: float | None = Field(None, gt=0)
    """Largest norm of the gradient; null: not clipped."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay per step of the averaged weights, which are the ones that are sampled; 0: the last
    weights."""
    flip: bool = False
    """Mirror each training image left to right with probability one half."""
    precision: Literal["no", "fp16", "bf16"] = "no"
    """Mixed precision of the network: "no" is float32 throughout."""
    compile: bool = False
    """Compile the network with `torch.compile`: a start of a minute for steps that may be faster
    (docs/performance.md); where it cannot be done, the network is used as it is. Rounding differs.
    """
    seed: int = Field(0, ge=0)
    """Seed of initial weights, data order, noise and levels."""
    checkpoint: Checkpoints = Field(Checkpoints(), json_schema_extra=NO_EFFECT)
    """When to save."""
    log: Logging = Field(Logging(), json_schema_extra=NO_EFFECT)
    """When to log."""


class Sample(Config):
    """How samples are drawn from a trained network."""

    sampler: AnySampler
    """The sampler."""
    noise: AnyNoise | None = None
    """Noise ladder to walk down; null: the run's own."""
    initial: Literal["uniform", "normal", "data_plus_noise"] = "uniform"
    """Start from U[0, 1], from N(0, σ_1²), or from training samples plus N(0, σ_1²)."""
    task: AnyTask | None = None
    """In-painting or interpolation; null: samples of the data."""
    count: int = Field(1000, ge=2)
    """Samples to draw."""
    chunk: int = Field(250, ge=1)
    """Samples drawn together; each chunk has its own random numbers, so that the chunks can be
    shared out in any way. The last one is drawn whole, and what is too much is dropped."""
    precision: Literal["no", "bf16"] = "no"
    """Mixed precision of the network: "no" is float32 throughout."""
    compile: bool = False
    """Compile the network with `torch.compile`: a start of a minute for steps that may be faster
    (docs/performance.md); where it cannot be done, the network is used as it is. Rounding differs.
    """
    trajectories: int = Field(0, ge=0)
    """Keep the state after each level of so many samples."""
    seed: int | None = Field(None, ge=0)
    """Seed of the samples; null: the run's seed, so that repeats over it are independent."""


class Evaluate(Config):
    """What is measured."""

    metrics: list[MetricName] = Field(["score_error", "frechet", "kid", "prdc"], min_length=1)
    """Names of metrics."""
    extractors: list[ExtractorName] = Field(["classifier"], min_length=1)
    """Feature extractors on which the metrics of sample quality are computed."""
    real_count: int | None = Field(None, ge=2)
    """Real training samples that generated ones are compared with, drawn once at random, and most
    real test samples; null: all. The same for the whole study. A copy of a training sample that is
    not among them is not found."""
    score_error_samples: int = Field(512, ge=2)
    """Noisy points per level and split on which the score error is measured."""
    density_bins: int = Field(0, ge=0)
    """Score error in so many quantile bins of the density of the points, and where the data are
    points also of points that fill a box of twice the data's width evenly; 0: not measured."""
    asymmetry_probes: int = Field(0, ge=0)
    """Random vectors per noisy point that measure how far the network's Jacobian is from symmetric,
    as that of a score is; 0: not measured."""
    neighbours: int = Field(5, ge=1)
    """Neighbourhood size k of precision, recall, density and coverage."""
    kid_subsets: int = Field(100, ge=1)
    """Subsets over which the kernel distance is averaged."""
    kid_subset_size: int = Field(250, ge=2)
    """Samples of each such subset (fewer where there are fewer)."""
    resamplings: int = Field(50, ge=0)
    """Random halves of the samples, whose scatter gives the 95 % intervals: 2 or more; 0: none."""
    seed: int = Field(0, ge=0)
    """Seed of subsets, probes and resamplings."""

    @field_validator("resamplings")
    @classmethod
    def _scatter(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 or at least 2: one half has no scatter")
        return value

    @model_validator(mode="after")
    def _bins(self) -> Self:
        if 2 * self.density_bins > self.score_error_samples:
            raise ValueError(
                f"density_bins: {self.density_bins} bins need {2 * self.density_bins} "
                f"score_error_samples or more, found {self.score_error_samples}"
            )
        return self


NETWORK_OPTIONS = frozenset({"score_error_samples", "density_bins", "asymmetry_probes"})
"""Options of `Evaluate` that say how networks are measured, and nothing of samples."""


class Sweep(Config):
    """The values a block is swept over; keys are dotted paths into the block."""

    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Every combination of these values is run."""
    zip: list[dict[str, list[Any]]] = Field(default_factory=list)
    """Groups of lists that advance together; each group is one factor of the product."""
    include: list[dict[str, Any]] = Field(default_factory=list)
    """Further points, each given by the values that differ from the base."""
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    """Points to leave out: those that have all the values of an entry."""


class TrainBlock(Train, Sweep):
    """The `train` block: how a network is trained, and over what that is swept."""


class SampleBlock(Sample, Sweep):
    """The `sample` block: how samples are drawn, and over what that is swept."""


class EvaluateBlock(Evaluate, Sweep):
    """The `evaluate` block: what is measured, and over what that is swept."""

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        points = [self.grid, *self.zip, *self.include, *self.exclude]
        if any("real_count" in point for point in points):
            raise ValueError(
                "real_count: outside grid, zip, include and exclude: it is the same for the whole "
                "study, because the features of real samples are computed once"
            )
        return self


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class Study(Config):
    """A study: datasets, training runs, sampler settings and metrics."""

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    """Name of the study and of its folder under `results/`."""
    dataset: Annotated[
        list[AnyDataset],
        BeforeValidator(_as_list, json_schema_input_type=AnyDataset | list[AnyDataset]),
        Field(min_length=1),
    ]
    """The dataset, or a list of them: then it is a swept axis too."""
    train: TrainBlock
    """Training."""
    sample: SampleBlock
    """Sampling."""
    evaluate: EvaluateBlock = EvaluateBlock()
    """Evaluation."""
